/* Keys and time to decide. Without this file the page works by its forms. */
"use strict";

(() => {
  const BLIND_MS = 250; // an answer this soon after a question came is the second half of a double click
  const main = document.getElementById("guess");
  let number = "";
  let seenAt = 0; // when the question came, on a clock that stands still while the page is hidden
  let hiddenAt = 0;

  function arrived() {
    const here = main.querySelector(".question")?.dataset.number || "";
    if (here === number) return false;
    number = here;
    seenAt = performance.now();
    main.dataset.ready = "";
    setTimeout(() => { main.dataset.ready = "yes"; }, BLIND_MS);
    return true;
  }

  const show = (html) => htmx.swap(main, html, { swapStyle: "innerHTML", swapDelay: 0, settleDelay: 0 });

  document.addEventListener("htmx:afterSwap", (event) => {
    if (!main.contains(event.target) || !arrived()) return;
    scrollTo(0, 0);
    document.getElementById("asking")?.focus({ preventScroll: true });
  });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.id !== "take") return;
    event.preventDefault();
    if (window.sending.waits("guess", number) || performance.now() - seenAt < BLIND_MS) return;
    window.site.clear();
    const seconds = ((performance.now() - seenAt) / 1000).toFixed(3);
    const fields = [["asked", form.elements.asked.value], ["side", event.submitter.value], ["seconds", seconds]];
    window.sending.send("guess", form.action, number, fields);
  });
  document.addEventListener("sending:done", ({ detail: { html } }) => show(html));
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) hiddenAt = performance.now();
    else if (hiddenAt) { seenAt += performance.now() - hiddenAt; hiddenAt = 0; }
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || window.site.composing(event)) return;
    const side = { 1: "left", ArrowLeft: "left", 2: "right", ArrowRight: "right" }[event.key];
    const button = side && document.getElementById(`choose-${side}`);
    if (!button) return;
    event.preventDefault();
    button.click();
  });
  arrived();
  window.sending.goOn();
})();
