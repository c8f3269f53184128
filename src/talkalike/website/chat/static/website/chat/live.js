// Follows replies while they are written, and keeps the page at the end of the conversation.
"use strict";
(() => {
  const talk = document.querySelector(".chat-talk");
  const announce = document.getElementById("announce");
  if (!talk) return;
  const sources = new Map(); // the address of a reply's events -> its EventSource

  const atEnd = () => window.innerHeight + window.scrollY > document.documentElement.scrollHeight - 120;
  const toEnd = () => window.scrollTo(0, document.documentElement.scrollHeight);
  const KEPT = 12; // announcements that stay, so that a screen reader misses none of a burst

  function say(words) {
    const line = document.createElement("p");
    line.textContent = words;
    announce.append(line);
    while (announce.childElementCount > KEPT) announce.firstChild.remove();
  }

  function keepingEnd(change) {
    const follow = atEnd();
    change();
    if (follow) toEnd();
  }

  function part(item, index, name) {
    const parts = item.querySelector(".parts");
    let found = parts.querySelector(`[data-index="${index}"]`);
    if (!found) {
      found = document.createElement("p");
      found.dataset.index = index;
      parts.append(found);
    }
    found.className = name;
    return found;
  }

  function finish(item, source) {
    source.close();
    sources.delete(item.dataset.live);
    if (!item.isConnected) return;
    const follow = atEnd();
    htmx.ajax("GET", item.dataset.message, { target: item, swap: "outerHTML" }).then(() => {
      if (!document.querySelector("[data-live]")) document.querySelector(".chat-stop")?.remove();
      const now = document.getElementById(item.id);
      const parts = [...(now?.querySelectorAll(".parts > *") ?? [])].slice(Number(item.dataset.told ?? 0));
      for (const one of parts) say(`${talk.dataset.double}: ${one.textContent}`);
      const note = now?.querySelector(".note");
      if (note) say(note.textContent);
      if (follow) toEnd();
    });
  }

  function connect(item) {
    const source = new EventSource(item.dataset.live);
    sources.set(item.dataset.live, source);
    const on = (name, change) => source.addEventListener(name, (event) => {
      const data = JSON.parse(event.data);
      keepingEnd(() => change(data));
    });
    on("start", (data) => {
      item.querySelector(".parts").replaceChildren();
      say(`${data.speaker} is writing`);
    });
    on("text", (data) => part(item, data.index, "bubble").append(data.text));
    const told = () => { item.dataset.told = 1 + Number(item.dataset.told ?? 0); };
    on("message", (data) => {
      told();
      part(item, data.index, "bubble").textContent = data.text;
      say(`${talk.dataset.double}: ${data.text}`);
    });
    on("reaction", (data) => {
      told();
      part(item, data.index, "reaction").textContent = data.emoji;
      say(`${talk.dataset.double} reacted with ${data.emoji}`);
    });
    on("end", () => finish(item, source));
    // The browser connects again by itself; it gives up where the answer says so, and then the page looks.
    source.addEventListener("error", () => { if (source.readyState === EventSource.CLOSED) finish(item, source); });
  }

  function connectAll() {
    for (const [address, source] of sources) {
      if (!document.querySelector(`[data-live="${address}"]`)) {
        source.close();
        sources.delete(address);
      }
    }
    for (const item of document.querySelectorAll("[data-live]")) {
      if (!sources.has(item.dataset.live)) connect(item);
    }
  }

  document.body.addEventListener("htmx:afterSwap", (event) => {
    connectAll();
    if (event.detail.target.id === "thread" && event.detail.requestConfig?.elt?.id === "composer") toEnd();
  });

  // Another tab may have gone on with the same conversation.
  async function look() {
    if (!talk.dataset.version || document.hidden || sources.size || document.querySelector(".editing")) return;
    const answer = await fetch(talk.dataset.version, { headers: window.site.headers() }).catch(() => null);
    if (!answer) return; // no network: it looks again later, and says so once somebody writes
    if (window.site.leave((name) => answer.headers.get(name))) return;
    const shown = document.getElementById("end")?.dataset.at;
    if (answer.ok && shown && (await answer.text()) !== shown) {
      htmx.ajax("GET", talk.dataset.thread, { target: "#thread", swap: "innerHTML" });
    }
  }
  window.addEventListener("focus", look);
  document.addEventListener("visibilitychange", look);
  window.addEventListener("pageshow", (event) => { if (event.persisted) look(); });

  connectAll();
  if (!location.hash || location.hash === "#end") toEnd();
})();
