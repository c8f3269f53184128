/* What somebody wrote, kept where a form cannot be sent because they are not logged in any more, or the page is old.
   It lies in this tab of the browser alone, until it stands on its page again or they log out. */
"use strict";

window.drafts = (() => {
  const KEY = "draft";
  const keeps = document.body.dataset.drafts === "keep"; // a page in between: the log-in, a problem
  const here = () => location.pathname;

  function stored() {
    try { return JSON.parse(sessionStorage.getItem(KEY)); } catch { return null; }
  }

  const isText = (field) => field.matches("textarea, input:not([type=hidden], [type=password], [type=file], [type=checkbox], [type=radio])");

  function changed(field) {
    if (field.readOnly) return false;
    if (isText(field)) return field.value !== field.defaultValue && field.value.trim() !== "";
    if (field.matches("[type=checkbox], [type=radio]")) return field.checked !== field.defaultChecked;
    return field.matches("select") && [...field.options].some((one) => one.selected !== one.defaultSelected);
  }

  /* Keeps what was changed on this page; whether there was any. */
  function keep() {
    const fields = [...document.querySelectorAll("main textarea, main input, main select")].filter(changed);
    const said = fields.map((field) => ({
      id: field.id, name: field.name, text: isText(field), value: field.value, checked: field.checked === true,
      chosen: field.matches("select") ? [...field.selectedOptions].map((one) => one.value) : null,
    }));
    const files = [...document.querySelectorAll("main input[type=file]")].some((field) => field.files.length);
    const draft = { page: here(), visitor: document.body.dataset.visitor, waiting: false, files, said };
    try { sessionStorage.setItem(KEY, JSON.stringify(draft)); } catch { return false; } // full, or forbidden
    return said.length > 0;
  }

  function put(one) {
    const field = one.id ? document.getElementById(one.id)
      : [...document.getElementsByName(one.name)].find((found) => found.type !== "radio" || found.value === one.value);
    if (!field) return false;
    if (one.chosen) for (const option of field.options) option.selected = one.chosen.includes(option.value);
    else if (one.text) field.value = one.value;
    else field.checked = one.checked;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    return true;
  }

  function tell(draft, rest) {
    const box = document.createElement("div");
    box.className = "notice warning";
    box.setAttribute("role", "status");
    const words = document.createElement("p");
    words.textContent = `You had to log in again, or the page was too old, so this was not sent. What you wrote is still here: send it once more.${draft.files ? " Pictures have to be added again." : ""}`;
    box.append(words);
    for (const one of rest) { // its field is not on the page as it opens
      const text = document.createElement("pre");
      text.textContent = one.value;
      box.append(text);
    }
    document.getElementById("problem").after(box);
  }

  function restore() {
    const draft = stored();
    if (!draft) return;
    if (keeps) {
      draft.waiting = true;
      sessionStorage.setItem(KEY, JSON.stringify(draft));
      for (const words of document.querySelectorAll("[data-kept]")) words.hidden = false;
    } else if (!draft.waiting || draft.visitor !== document.body.dataset.visitor) {
      sessionStorage.removeItem(KEY); // it was sent, or is somebody else's
    } else if (draft.page === here()) {
      sessionStorage.removeItem(KEY);
      const rest = draft.said.filter((one) => !put(one) && one.text);
      if (draft.said.length || draft.files) tell(draft, rest);
    }
  }

  /* Keeps it and goes elsewhere (or loads this page again), after which it is put back. */
  function keepAndGo(to) {
    keep();
    const draft = stored();
    if (draft) sessionStorage.setItem(KEY, JSON.stringify({ ...draft, waiting: true }));
    if (to) location.assign(to);
    else location.reload();
  }

  document.addEventListener("submit", (event) => {
    if (event.target.hasAttribute("data-log-out")) sessionStorage.clear();
    else if (!keeps && !event.defaultPrevented && event.target.method === "post") keep(); // the answer may be the log-in
  });
  // After the page's own scripts, which may listen for what is put in.
  document.addEventListener("DOMContentLoaded", restore);
  return { keepAndGo };
})();
