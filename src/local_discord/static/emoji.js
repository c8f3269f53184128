// A small emoji picker: the usual ones, and any other typed or pasted in.
import { el } from "./dom.js";

export const COMMON = [
  ["👍", "thumbs up"], ["❤️", "heart"], ["😂", "tears of joy"], ["😊", "smile"], ["😮", "surprised"], ["😢", "sad"],
  ["🎉", "party"], ["🔥", "fire"], ["👀", "eyes"], ["✅", "done"], ["❌", "no"], ["🤔", "thinking"], ["🙏", "thanks"],
  ["😅", "phew"], ["👋", "wave"], ["🚀", "rocket"],
];

let open = null;

export function pickEmoji(anchor, choose) {
  open?.();
  const pick = (emoji) => {
    close();
    choose(emoji);
  };
  const input = el("input", { type: "text", maxlength: 32, placeholder: "Any other emoji", "aria-label": "Any other emoji" });
  const box = el("div", { class: "popup emoji-box", role: "dialog", "aria-label": "Choose an emoji" },
    el("div", { class: "emoji-grid" }, COMMON.map(([emoji, name]) =>
      el("button", { type: "button", "aria-label": name, title: name, onclick: () => pick(emoji) }, emoji))),
    el("form", { class: "row", onsubmit: (event) => {
      event.preventDefault();
      if (input.value.trim()) pick(input.value.trim());
    } }, input, el("button", { type: "submit" }, "Use")));
  const leave = (event) => !box.contains(event.target) && close();
  const close = () => {
    box.remove();
    document.removeEventListener("pointerdown", leave);
    open = null;
    if (anchor.isConnected) anchor.focus();
  };
  box.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      event.stopPropagation();
      close();
    }
    const buttons = [...box.querySelectorAll(".emoji-grid button")];
    const at = buttons.indexOf(document.activeElement);
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 8, ArrowUp: -8 }[event.key];
    if (at >= 0 && step) {
      event.preventDefault();
      buttons[(at + step + buttons.length) % buttons.length].focus();
    }
  });
  open = close;
  document.body.append(box);
  place(box, anchor);
  box.querySelector("button").focus();
  setTimeout(() => document.addEventListener("pointerdown", leave));
}

/** Beside an element, or at a pointer event, and always wholly on the screen. */
export function place(box, anchor) {
  const at = anchor instanceof Element ? anchor.getBoundingClientRect()
    : { left: anchor.clientX, right: anchor.clientX, top: anchor.clientY, bottom: anchor.clientY };
  const { offsetWidth: width, offsetHeight: height } = box;
  const below = at.bottom + height + 8 < innerHeight ? at.bottom + 4 : Math.max(8, at.top - height - 4);
  box.style.left = `${Math.max(8, Math.min(at.left, innerWidth - width - 8))}px`;
  box.style.top = `${Math.min(below, Math.max(8, innerHeight - height - 8))}px`;
}
