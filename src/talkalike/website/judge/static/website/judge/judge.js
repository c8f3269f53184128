/* Keys, time to decide, the next pair loaded ahead, drafts. Without this file the page works by its forms. */
"use strict";

(() => {
  const BLIND_MS = 250; // a choice this soon after a pair came is the second half of a double click
  const main = document.getElementById("pair");
  let url = "";
  let seenAt = 0; // when the pair came, on a clock that stands still while the page is hidden
  let hiddenAt = 0;
  let busy = false; // a choice is on its way
  let saving = 0; // ratings, words and marks that are on their way
  let goAfter = false; // Enter was pressed meanwhile
  let ahead = null; // {from, html}: what comes after the pair `from`

  const pair = () => main.querySelector(".pair");
  const byId = (id) => document.getElementById(id);
  const say = (words) => { byId("said").textContent = words; };
  const given = () => pair().dataset.given;

  // ------------------------------------------------------------------------------------------------- a pair comes
  function arrived() {
    const here = pair();
    const fresh = here.dataset.url !== url;
    url = here.dataset.url;
    if (fresh) {
      seenAt = performance.now();
      main.dataset.ready = "";
      setTimeout(() => { main.dataset.ready = "yes"; }, BLIND_MS);
    }
    restore();
    if (given() && ahead?.from !== url) loadAhead();
    return fresh;
  }

  function swapped() {
    if (!arrived()) return;
    saving = 0;
    history.replaceState(history.state, "", url);
    scrollTo(0, 0);
    byId("question")?.focus({ preventScroll: true });
  }

  async function loadAhead() {
    const from = url;
    try {
      const answer = await fetch(pair().dataset.next, { headers: { "HX-Request": "true" } });
      if (answer.ok && !answer.redirected && from === url) {
        ahead = { from, html: await answer.text() };
        main.dataset.ahead = from;
      }
    } catch {
      ahead = null; // no network: "next" asks again, and says so
    }
  }

  function next() {
    if (!given()) return say("Choose first: 1, 2, 0 for a tie, 9 for both bad, or s to skip.");
    if (busy || saving) { goAfter = true; return undefined; }
    if (ahead?.from !== url) return htmx.ajax("GET", pair().dataset.next, { target: main, swap: "innerHTML" });
    const { html } = ahead;
    ahead = null;
    return htmx.swap(main, html, { swapStyle: "innerHTML", swapDelay: 0, settleDelay: 0 });
  }

  function goOn() {
    if (goAfter && !busy && !saving) { goAfter = false; next(); }
  }

  // ----------------------------------------------------------------------------------------------------- requests
  const isChoice = (form) => form.id === "vote" || form.id === "undo-form";

  document.addEventListener("htmx:beforeRequest", (event) => {
    const form = event.detail.elt;
    if (!isChoice(form)) { saving += Number(form.matches?.("form") ?? false); return; }
    const tooSoon = form.id === "vote" && !given() && performance.now() - seenAt < BLIND_MS;
    if (busy || tooSoon) { event.preventDefault(); return; }
    busy = true;
    byId("problem").textContent = "";
  });
  document.addEventListener("htmx:configRequest", (event) => {
    if (event.detail.elt.id === "vote") {
      const button = event.detail.triggeringEvent?.submitter; // htmx sees only those within the form
      if (button?.name) event.detail.parameters[button.name] = button.value;
      event.detail.parameters.seconds = ((performance.now() - seenAt) / 1000).toFixed(3);
    }
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    const form = event.detail.requestConfig.elt; // by now the answer may have replaced it
    if (isChoice(form)) {
      busy = false;
      if (form.id === "undo-form") ahead = null;
    } else if (form.matches?.("form")) {
      saving = Math.max(0, saving - 1);
      setTimeout(goOn, 0); // what waited behind it is sent first: it would be lost with the pair
    }
    if (event.detail.successful && form.matches?.(".correction")) sessionStorage.removeItem(draftOf(form));
  });
  document.addEventListener("htmx:beforeSwap", (event) => {
    // A rating was saved after its pair had gone: there is no place left to say so.
    if (!document.contains(event.detail.requestConfig.elt)) event.detail.shouldSwap = false;
  });
  document.addEventListener("htmx:sendError", () => {
    busy = goAfter = false;
    say("");
    byId("problem").textContent = "The site cannot be reached. Nothing was stored; try again.";
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (main.contains(event.target)) swapped();
  });
  document.addEventListener("htmx:afterSettle", goOn);
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("#next");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    next();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) hiddenAt = performance.now();
    else if (hiddenAt) { seenAt += performance.now() - hiddenAt; hiddenAt = 0; }
  });

  // ------------------------------------------------------------------------------------- drafts, and what was open
  const draftOf = (form) => `judge ${url} ${form.elements.side.value}`;

  function restore() {
    for (const box of main.querySelectorAll("details.more")) {
      if (sessionStorage.getItem("judge open")?.includes(box.dataset.side)) box.open = true;
    }
    for (const form of main.querySelectorAll(".correction")) {
      const draft = sessionStorage.getItem(draftOf(form));
      if (draft === null) continue;
      form.elements.text.value = draft;
      form.closest("details").open = true;
    }
  }
  document.addEventListener("input", (event) => {
    const form = event.target.closest?.(".correction");
    if (!form) return;
    try { sessionStorage.setItem(draftOf(form), event.target.value); } catch { /* full: saving it still works */ }
  });
  document.addEventListener("toggle", (event) => {
    if (!event.target.matches?.("details.more")) return;
    const sides = [...main.querySelectorAll("details.more[open]")].map((box) => box.dataset.side);
    sessionStorage.setItem("judge open", sides.join(" "));
  }, true);

  // --------------------------------------------------------------------------------------------------------- keys
  const open = (side) => {
    const box = main.querySelector(`details.more[data-side="${side}"]`);
    if (box) box.open = true;
    return box;
  };
  const press = (id) => byId(id)?.click();

  function rate() {
    const first = open(pair().dataset.side || "left");
    const scale = first?.querySelector(".scale");
    (scale?.querySelector("input:checked") || scale?.querySelector("input"))?.focus();
  }

  function edit() {
    const side = pair().dataset.side;
    if (!side) return say("Choose the better one first, with 1 or 2. Then e opens it for writing.");
    open(side);
    const box = byId(`text-${side}`);
    box.focus();
    box.setSelectionRange(box.value.length, box.value.length);
    return undefined;
  }

  const KEYS = {
    1: () => press("choose-left"), ArrowLeft: () => press("choose-left"),
    2: () => press("choose-right"), ArrowRight: () => press("choose-right"),
    0: () => press("choose-tie"), 9: () => press("choose-both_bad"),
    s: () => press("choose-skip"), u: () => press("undo"),
    r: rate, e: edit, Enter: next,
    "?": () => { const keys = byId("keys"); if (keys) { keys.open = !keys.open; keys.scrollIntoView({ block: "nearest" }); } },
  };

  function rateByKey(event, scale) {
    const box = scale.querySelector(`input[value="${event.key}"]`);
    if (!box) return false;
    box.click();
    const scales = [...main.querySelectorAll(".scale")];
    const after = scales.slice(scales.indexOf(scale) + 1).find((one) => one.offsetParent);
    const field = after?.querySelector("input:checked") || after?.querySelector("input");
    (field || byId("question")).focus();
    return true;
  }

  document.addEventListener("keydown", (event) => {
    const at = event.target;
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.defaultPrevented) return;
    const writing = at.matches("textarea, select, input:not([type=radio], [type=checkbox])");
    if (event.key === "Escape") {
      if (at.closest("details.more")) byId("question").focus();
      return;
    }
    if (writing || event.repeat) return;
    const scale = at.closest(".scale");
    if (scale && (event.key.startsWith("Arrow") || rateByKey(event, scale))) {
      if (!event.key.startsWith("Arrow")) event.preventDefault();
      return;
    }
    // A button or link that has the focus is what Enter means, unless it is the choice that was made already.
    if (event.key === "Enter" && at.closest("button, a, summary") && !at.closest('[aria-pressed="true"]')) return;
    const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });

  arrived();
})();
