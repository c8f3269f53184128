/* One queue for all that leaves a page: one thing after the other, each until it has arrived.

   A page sends plain values, never a form that an answer may replace meanwhile. What waits outlives the page (another
   pair, a reload, a log-in). It is numbered, and the site takes no number twice (`once.py`), so it can be sent again.
   The page is told by events: "sending:done" and "sending:refused", each with {item, html}; "sending:idle". */
"use strict";

window.sending = (() => {
  const KEY = "sending";
  const PATIENCE_MS = 15_000; // for one answer
  const PAUSES = [1, 2, 4, 8, 15]; // seconds before it is tried again
  const AGAIN = [408, 429, 502, 503, 504];
  const QUIET_MS = 600; // so long nobody has to read that something is on its way
  const page = crypto.randomUUID?.() ?? Array.from(crypto.getRandomValues(new Uint8Array(16)), (one) => one.toString(16).padStart(2, "0")).join("");
  const visitor = document.body.dataset.visitor;
  const line = document.getElementById("sending");
  let number = 0;
  let items = [];
  let running = false;
  let tries = 0;
  let wake = null; // ends the pause
  let leaving = false;

  function save() {
    const lasting = items.filter((item) => item.fields);
    try {
      if (lasting.length) sessionStorage.setItem(KEY, JSON.stringify({ visitor, items: lasting }));
      else sessionStorage.removeItem(KEY);
    } catch { /* full, or forbidden: then it waits in this page alone */ }
  }

  const tell = (name, detail) => document.dispatchEvent(new CustomEvent(`sending:${name}`, { detail }));

  // ------------------------------------------------------------------------------------------------ what one sees
  let shownAt = 0;

  function show() {
    clearTimeout(shownAt);
    if (!items.length) { line.replaceChildren(); return; }
    if (!tries) {
      shownAt = setTimeout(() => { line.textContent = items.length === 1 ? "Saving…" : `Saving ${items.length} things…`; }, QUIET_MS);
      return;
    }
    const count = items.filter((item) => item.fields).length;
    const waits = count === 0 ? "The next step waits" : count === 1 ? "One thing that you said waits" : `${count} things that you said wait`;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button small";
    button.textContent = "Try now";
    button.addEventListener("click", () => wake?.());
    line.replaceChildren(`The site cannot be reached. ${waits} in this tab, and ${count > 1 ? "are" : "is"} sent as soon as it answers. `, button);
  }

  // --------------------------------------------------------------------------------------------------- one request
  async function ask(item) {
    const control = new AbortController();
    const timer = setTimeout(() => control.abort(), PATIENCE_MS);
    try {
      const given = { headers: { ...window.site.headers(), "X-Sending": item.id }, signal: control.signal, credentials: "same-origin" };
      if (item.fields) Object.assign(given, { method: "POST", body: new URLSearchParams(item.fields) });
      const answer = await fetch(item.url, given);
      const html = await answer.text();
      const ours = answer.headers.get("X-Sending") === item.id && !answer.redirected;
      return ours && !AGAIN.includes(answer.status) ? { answer, html } : null;
    } catch {
      return null; // no network, no answer in time
    } finally {
      clearTimeout(timer);
    }
  }

  const pause = () => new Promise((done) => {
    const timer = setTimeout(done, 1000 * PAUSES[Math.min(tries, PAUSES.length) - 1]);
    wake = () => { clearTimeout(timer); done(); };
  });

  /* The site's answer; false where one has to go elsewhere first. */
  function take(item, { answer, html }) {
    if (!answer.ok && (answer.headers.has("X-Log-In") || (answer.headers.has("X-Load-Again") && !item.loaded))) {
      item.loaded = true; // once: a browser that keeps no cookies would load for ever
      save();
      leaving = true;
      return !window.site.leave((name) => answer.headers.get(name));
    }
    items.shift();
    save();
    if (!answer.ok) window.site.refused(html, answer.headers.get("Content-Type"), answer.status);
    tell(answer.ok ? "done" : "refused", { item, html });
    return true;
  }

  async function run() {
    if (running) return;
    running = true;
    while (items.length) {
      show();
      const [item] = items;
      const found = await ask(item);
      if (!found) {
        tries += 1;
        show();
        await pause();
        wake = null;
      } else {
        tries = 0;
        if (!take(item, found)) return;
      }
    }
    running = false;
    show();
    tell("idle");
  }

  function add(item) {
    number += 1;
    const whole = { ...item, id: `${page}.${number}` };
    items.push(whole);
    save();
    run();
    return whole;
  }

  /* What a page before this one could not send; whether there was any. Call it once the page listens. */
  function goOn() {
    let kept = null;
    try { kept = JSON.parse(sessionStorage.getItem(KEY)); } catch { /* nothing that can be read */ }
    if (!kept || kept.visitor !== visitor) return false;
    items = [...kept.items, ...items];
    run();
    return items.length > 0;
  }

  window.addEventListener("online", () => wake?.());
  window.addEventListener("beforeunload", (event) => {
    if (!leaving && tries && items.some((item) => item.fields)) event.preventDefault();
  });

  return {
    /* Sends `fields` (pairs of a name and a value). `about` and `kind` are the page's own: it gets them back. */
    send: (kind, url, about, fields) => add({ kind, url, about, fields }),
    /* Asks for something, once all before it has arrived. */
    get: (kind, url, about) => add({ kind, url, about, fields: null }),
    waits: (kind, about) => items.some((item) => item.kind === kind && item.about === about),
    goOn,
  };
})();
