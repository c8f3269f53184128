/* Keys and time to decide. Without this file the page works by its forms. */
"use strict";

(() => {
  const BLIND_MS = 250; // an answer this soon after a question came is the second half of a double click
  const main = document.getElementById("guess");
  let number = "";
  let seenAt = 0; // when the question came, on a clock that stands still while the page is hidden
  let hiddenAt = 0;
  let busy = false;

  function arrived() {
    const here = main.querySelector(".question")?.dataset.number || "";
    if (here === number) return false;
    number = here;
    seenAt = performance.now();
    main.dataset.ready = "";
    setTimeout(() => { main.dataset.ready = "yes"; }, BLIND_MS);
    return true;
  }

  document.addEventListener("htmx:afterSwap", (event) => {
    if (!main.contains(event.target) || !arrived()) return;
    scrollTo(0, 0);
    document.getElementById("asking")?.focus({ preventScroll: true });
  });
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (busy || performance.now() - seenAt < BLIND_MS) { event.preventDefault(); return; }
    busy = true;
    document.getElementById("problem").textContent = "";
  });
  document.addEventListener("htmx:afterRequest", () => { busy = false; });
  document.addEventListener("htmx:sendError", () => {
    document.getElementById("problem").textContent = "The site cannot be reached. Nothing was stored; try again.";
  });
  document.addEventListener("htmx:configRequest", (event) => {
    event.detail.parameters.seconds = ((performance.now() - seenAt) / 1000).toFixed(3);
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) hiddenAt = performance.now();
    else if (hiddenAt) { seenAt += performance.now() - hiddenAt; hiddenAt = 0; }
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const side = { 1: "left", ArrowLeft: "left", 2: "right", ArrowRight: "right" }[event.key];
    const button = side && document.getElementById(`choose-${side}`);
    if (!button) return;
    event.preventDefault();
    button.click();
  });
  arrived();
})();
