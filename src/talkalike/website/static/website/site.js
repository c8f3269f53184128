/* What every page does when something it asked for does not come: it says so, and loses nothing that was written. */
"use strict";

window.site = (() => {
  const place = document.getElementById("problem");
  const UNREACHED = "The site cannot be reached, so nothing was stored. What you wrote is still here: try again in a moment.";
  const LATE = "The site did not answer in time. It may have been stored all the same: look before you send it again.";
  const STRANGE = "Something between you and the site answered in its place, so nothing was stored. Try again in a moment.";

  /* `kind` "network" goes away by itself once the site answers. */
  function tell(words, kind = "") {
    const line = document.createElement("p");
    line.className = "notice error";
    line.textContent = words;
    place.replaceChildren(line);
    place.dataset.kind = kind;
  }

  function clear() {
    place.replaceChildren();
    place.dataset.kind = "";
  }

  /* The site's own words for an error, as HTML; "" where another program answered (a proxy), whose page says nothing. */
  function wordsOf(body, type) {
    if (type?.startsWith("text/plain")) {
      const line = document.createElement("p");
      line.className = "notice error";
      line.textContent = body.slice(0, 500);
      return line.outerHTML;
    }
    return body.length < 5000 && body.trimStart().startsWith('<p class="notice error">') ? body : "";
  }

  const failed = (status) => `The site answered with an error (${status}). What you wrote is still here: try again in a moment.`;

  function refused(body, type, status) {
    const words = wordsOf(body, type);
    if (words) {
      place.innerHTML = words;
      place.dataset.kind = "";
    } else tell(failed(status));
  }

  /* Where the answer says that one has to log in, or that the page is too old: goes there, and nothing is lost. */
  function leave(header) {
    const to = header("X-Log-In");
    if (to) window.drafts.keepAndGo(to);
    else if (header("X-Load-Again")) window.drafts.keepAndGo("");
    else return false;
    return true;
  }

  const headers = () => ({ ...JSON.parse(document.body.getAttribute("hx-headers")), "HX-Request": "true", "HX-Current-URL": location.href });

  // An input method says so in one of two ways: Safari ends the composition before the key that ended it is told.
  const composing = (event) => event.isComposing || event.keyCode === 229;

  const pages = document.querySelector(".site-nav ul"); // on a phone they are one line, which is longer than the screen
  const current = pages?.querySelector("[aria-current]");
  if (current) pages.scrollLeft = current.offsetLeft - (pages.clientWidth - current.offsetWidth) / 2;

  // ---------------------------------------------------------------------------------------------------------- htmx
  const path = (address) => new URL(address, location.href).pathname;

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.requestConfig.verb !== "get") clear();
  });
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { detail } = event;
    const { xhr } = detail;
    if (leave((name) => xhr.getResponseHeader(name))) detail.shouldSwap = false;
    else if (detail.isError) {
      detail.shouldSwap = false;
      refused(xhr.responseText, xhr.getResponseHeader("Content-Type"), xhr.status);
    } else if (xhr.responseURL && path(xhr.responseURL) !== path(detail.pathInfo.finalRequestPath ?? detail.pathInfo.requestPath)) {
      detail.shouldSwap = false; // led elsewhere, unseen: the log-in of a network, say
      detail.isError = true;
      tell(STRANGE, "network");
    } else if (place.dataset.kind === "network") clear();
  });
  document.addEventListener("htmx:sendError", () => tell(UNREACHED, "network"));
  document.addEventListener("htmx:timeout", () => tell(LATE, "network"));

  // A part that is exchanged may hold a field in which somebody is writing: what they wrote stays in it.
  let writing = [];
  document.addEventListener("htmx:beforeSwap", (event) => {
    const sent = event.detail.requestConfig?.elt;
    writing = [...event.detail.target.querySelectorAll("textarea[id], input[id]:not([type=hidden])")]
      .filter((field) => field.value !== field.defaultValue && !sent?.contains(field))
      .map((field) => ({ id: field.id, value: field.value, given: field.defaultValue }));
  });
  document.addEventListener("htmx:afterSwap", () => {
    for (const { id, value, given } of writing) {
      const field = document.getElementById(id);
      if (field && field.value === given && field.defaultValue === given) field.value = value;
    }
    writing = [];
  });

  return { tell, clear, refused, leave, headers, composing };
})();
