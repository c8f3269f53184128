/* Keys, time to decide, the next pair loaded ahead, drafts. Without this file the page works by its forms.

   What somebody says is shown at once and leaves by the queue (`sending.js`); only the next pair, or one that is taken
   back, replaces what they look at, and while that is on its way nothing more is taken. */
"use strict";

(() => {
  const BLIND_MS = 250; // a choice this soon after a pair came is the second half of a double click
  const COMING = "Wait a moment: the next pair is on its way.";
  const { sending, site } = window;
  const main = document.getElementById("pair");
  let url = "";
  let seenAt = 0; // when the pair came, on a clock that stands still while the page is hidden
  let hiddenAt = 0;
  let coming = null; // what is on its way and will replace the pair
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
      history.replaceState(history.state, "", url); // whoever comes back, after a log-in say, comes back to this pair
      seenAt = performance.now();
      main.dataset.ready = "";
      setTimeout(() => { main.dataset.ready = "yes"; }, BLIND_MS);
    }
    restore();
    if (given() && !sending.waits("vote", url)) loadAhead();
    return fresh;
  }

  function swapped() {
    coming = null;
    if (!arrived()) return;
    scrollTo(0, 0);
    byId("question")?.focus({ preventScroll: true });
  }

  const show = (html) => htmx.swap(main, html, { swapStyle: "innerHTML", swapDelay: 0, settleDelay: 0 });

  async function loadAhead() {
    const from = url;
    if (ahead?.from === from) return;
    try {
      const answer = await fetch(pair().dataset.next, { headers: site.headers() });
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
    if (coming) return say(COMING);
    if (ahead?.from !== url || sending.waits("vote", url)) { coming = sending.get("next", pair().dataset.next, url); return undefined; }
    const { html } = ahead;
    ahead = null;
    return show(html);
  }

  // ------------------------------------------------------------------------------------------------ what one says
  /* The choice as the site would show it. */
  function mark(choice) {
    const side = ["left", "right"].includes(choice) ? choice : "";
    const here = pair();
    here.dataset.given = choice;
    if (side) here.dataset.side = side;
    else delete here.dataset.side;
    for (const button of main.querySelectorAll('button[name="choice"]')) button.setAttribute("aria-pressed", button.value === choice);
    for (const reply of main.querySelectorAll(".reply")) {
      reply.classList.toggle("chosen", reply.id === `reply-${side}`);
      reply.querySelector(".yours").hidden = reply.id !== `reply-${side}`;
    }
    byId("next").hidden = false;
  }

  function choose(form, choice) {
    if (!given() && performance.now() - seenAt < BLIND_MS) return;
    const atOnce = byId("go-on").checked;
    const pressed = main.querySelector('button[name="choice"][aria-pressed="true"]')?.value;
    if (pressed === choice && !atOnce) return;
    const fields = [["choice", choice], ["seconds", ((performance.now() - seenAt) / 1000).toFixed(3)]];
    if (atOnce) fields.push(["go_on", "on"]);
    ahead = null;
    delete main.dataset.ahead;
    mark(choice);
    const item = sending.send("vote", form.action, url, fields);
    if (atOnce) coming = item;
  }

  function takeBack(form) {
    const fields = [...new FormData(form)].filter(([name]) => name !== "csrfmiddlewaretoken");
    ahead = null;
    coming = sending.send("undo", form.action, url, fields);
  }

  /* A rating, a better version or a flag, as the site takes it: one at a time. */
  function about(form, name, value) {
    sending.send(form.className, form.action, url, [["side", form.elements.side.value], [name, value]]);
  }

  function correct(form) {
    const text = form.elements.text.value;
    if (form.dataset.sent === text) return; // leaving the field has sent it
    form.dataset.sent = text;
    about(form, "text", text);
  }

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!main.contains(form) || form.action.includes("/reveal/")) return;
    event.preventDefault();
    site.clear();
    if (coming) { say(COMING); return; }
    if (form.id === "vote") choose(form, event.submitter.value);
    else if (form.id === "undo-form") takeBack(form);
    else if (form.className === "correction") correct(form);
    else if (form.className === "flagging") about(form, "reason", form.elements.reason.value);
  });
  document.addEventListener("change", (event) => {
    const form = event.target.form;
    if (form?.className === "ratings") about(form, event.target.name, event.target.value);
    else if (form?.className === "correction") correct(form);
  });

  // -------------------------------------------------------------------------------------------- what the site says
  document.addEventListener("sending:done", ({ detail: { item, html } }) => {
    const answer = new DOMParser().parseFromString(html, "text/html");
    const there = answer.querySelector(".pair")?.dataset.url;
    if (item.kind === "correction") forget(item);
    if (item.id === coming?.id) show(html);
    else if (item.about === url) {
      say(answer.getElementById("said")?.textContent ?? "");
      const progress = answer.querySelector(".progress-line");
      if (progress && there === url) main.querySelector(".progress-line")?.replaceWith(progress);
      if (item.kind === "vote" && !sending.waits("vote", url)) loadAhead();
    }
  });
  document.addEventListener("sending:refused", ({ detail: { item } }) => {
    if (item.id === coming?.id) coming = null;
    say("");
    if (item.fields && item.about === url && !coming) coming = sending.get("show", url, url); // as it really is
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (main.contains(event.target)) swapped();
  });
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

  /* A version that was stored is no draft any more, unless somebody wrote on meanwhile. */
  function forget(item) {
    const { side, text } = Object.fromEntries(item.fields);
    const key = `judge ${item.about} ${side}`;
    if (sessionStorage.getItem(key) === text) sessionStorage.removeItem(key);
  }

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
    if (event.ctrlKey || event.metaKey || event.altKey || site.composing(event) || event.defaultPrevented) return;
    const writing = at.matches("textarea, select, input:not([type=radio], [type=checkbox])");
    if (event.key === "Escape") {
      if (at.closest("details.more")) byId("question").focus();
      return;
    }
    if (writing || event.repeat) return;
    const scale = at.closest(".scale");
    const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (coming && (scale || (act && !at.closest("button, a, summary")))) { // meant for a pair that nobody has seen yet
      event.preventDefault();
      say(COMING);
      return;
    }
    if (scale && (event.key.startsWith("Arrow") || rateByKey(event, scale))) {
      if (!event.key.startsWith("Arrow")) event.preventDefault();
      return;
    }
    // A button or link that has the focus is what Enter means, unless it is the choice that was made already.
    if (event.key === "Enter" && at.closest("button, a, summary") && !at.closest('[aria-pressed="true"]')) return;
    if (!act) return;
    event.preventDefault();
    act();
  });

  arrived();
  if (sending.goOn()) coming = sending.get("show", url, url); // the page was made before the site had all of it
})();
