// The field in which one writes: keys, its height, pictures that are pasted or dropped.
"use strict";
(() => {
  const form = document.getElementById("composer");
  if (!form) return;
  const talk = document.querySelector(".chat-talk");
  const text = form.querySelector("textarea");
  const input = form.querySelector("input[type=file]");
  const previews = document.getElementById("previews");
  const MOST = 4;
  let pictures = [];

  function grow() {
    if (CSS.supports("field-sizing", "content")) return;
    text.style.height = "auto";
    text.style.height = `${text.scrollHeight}px`;
  }

  function showPictures() {
    const list = new DataTransfer();
    for (const file of pictures) list.items.add(file);
    input.files = list.files;
    for (const image of previews.querySelectorAll("img")) URL.revokeObjectURL(image.src);
    previews.replaceChildren(...pictures.map((file) => {
      const figure = document.createElement("figure");
      const image = document.createElement("img");
      image.src = URL.createObjectURL(file);
      image.alt = file.name;
      const remove = document.createElement("button");
      remove.type = "button";
      remove.textContent = "×";
      remove.setAttribute("aria-label", `Remove ${file.name}`);
      remove.addEventListener("click", () => {
        pictures = pictures.filter((one) => one !== file);
        showPictures();
        text.focus();
      });
      figure.append(image, remove);
      return figure;
    }));
    previews.hidden = pictures.length === 0;
  }

  function add(files) {
    const fresh = [...files].filter((file) => file.type.startsWith("image/"));
    pictures = [...pictures, ...fresh].slice(0, MOST);
    showPictures();
    return fresh.length > 0;
  }

  function send(field) {
    field.form.requestSubmit();
  }

  document.addEventListener("keydown", (event) => {
    const field = event.target;
    const writing = field === text || field.dataset?.enter === "send";
    if (window.site.composing(event)) return; // Enter chooses a word in Japanese, and sends nothing
    if (writing && event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      if (field.value.trim() || (field === text && pictures.length)) send(field);
    } else if (event.key === "Escape") {
      const menu = field.closest?.("details.menu[open]") || document.querySelector("details.menu[open]");
      const leave = field.closest?.(".editing")?.querySelector(".cancel");
      if (menu) {
        menu.open = false;
        menu.querySelector("summary").focus();
      } else if (leave) {
        leave.click();
        text.focus();
      } else {
        document.querySelector(".chat-stop")?.requestSubmit();
      }
    } else if (field === text && event.key === "ArrowUp" && !text.value) {
      const last = [...document.querySelectorAll(".mine .edit")].pop();
      if (last) {
        event.preventDefault();
        last.click();
      }
    }
  });

  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
    const tool = event.target.closest?.("a.tool.wide"); // a second click folds what the first one showed
    const shown = tool && tool.closest(".body").querySelector(".details");
    if (shown?.childElementCount) {
      event.preventDefault();
      event.stopImmediatePropagation();
      shown.replaceChildren();
    }
  }, true);

  document.body.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.elt !== form || !event.detail.successful) return;
    text.value = "";
    pictures = [];
    showPictures();
    grow();
    text.focus();
  });
  // At the end of the text, before anybody can have typed.
  document.body.addEventListener("htmx:afterSwap", (event) => {
    const field = event.detail.elt.querySelector?.(".editing textarea");
    if (field) {
      field.focus();
      field.setSelectionRange(field.value.length, field.value.length);
    }
  });

  input.addEventListener("change", () => add(input.files));
  text.addEventListener("input", grow);
  text.addEventListener("paste", (event) => { if (add(event.clipboardData.files)) event.preventDefault(); });
  talk.addEventListener("dragover", (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    talk.classList.add("dropping");
  });
  talk.addEventListener("dragleave", () => talk.classList.remove("dropping"));
  talk.addEventListener("drop", (event) => {
    talk.classList.remove("dropping");
    if (!event.dataTransfer.files.length) return;
    event.preventDefault();
    add(event.dataTransfer.files);
    text.focus();
  });
})();
