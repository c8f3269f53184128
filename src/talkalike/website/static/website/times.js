/* Times in the reader's zone. The cookie tells the site, which then writes them so by itself, also into what one downloads. */
"use strict";

(() => {
  const { timeZone } = new Intl.DateTimeFormat().resolvedOptions();
  if (!timeZone) return;
  const known = document.cookie.split("; ").includes(`talkalike_zone=${timeZone}`);
  const secure = location.protocol === "https:" ? "; Secure" : "";
  if (!known) document.cookie = `talkalike_zone=${timeZone}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;

  const DAY = { day: "numeric", month: "short", year: "numeric" };
  const EXACT = {
    day: new Intl.DateTimeFormat("en-GB", DAY),
    minute: new Intl.DateTimeFormat("en-GB", { ...DAY, hour: "2-digit", minute: "2-digit", hourCycle: "h23" }),
  };

  function show(within) {
    for (const time of within.querySelectorAll("time[data-exact]")) {
      time.title = timeZone;
      time.textContent = EXACT[time.dataset.exact].format(new Date(time.dateTime)).replace("Sept", "Sep");
    }
  }

  show(document);
  document.addEventListener("htmx:load", (event) => show(event.detail.elt));
})();
