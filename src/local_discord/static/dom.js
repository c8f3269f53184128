// Building blocks of the page. Text always goes in as text nodes: nothing here, or anywhere else, parses HTML.

/** el("p", {class: "x", onclick: f, "aria-label": "y", dataset: {id: 1}}, "text", node, [more]) -> element */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "dataset") Object.assign(node.dataset, value);
    else if (key === "value" && "value" in node) node.value = value;
    else if (value === true) node.setAttribute(key, "");
    else node.setAttribute(key === "class" ? "class" : key, String(value));
  }
  add(node, children);
  return node;
}

export function add(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false || child === "") continue;
    node.append(child instanceof Node ? child : String(child));
  }
  return node;
}

export function fill(node, ...children) {
  node.replaceChildren();
  return add(node, children);
}

export const byId = (id) => document.getElementById(id);

/** A line that tells what went wrong; read out at once, gone after a while. */
export function trouble(text) {
  const line = el("p", {}, text, el("button", { class: "quiet", "aria-label": "Dismiss", onclick: () => line.remove() }, "✕"));
  byId("trouble").append(line);
  setTimeout(() => line.remove(), 12000);
}

/** For screen readers only: what just happened. */
export function announce(text) {
  const news = byId("news");
  news.append(el("p", {}, text));
  while (news.childElementCount > 20) news.firstElementChild.remove();
}

let fresh = 0;
export const freshId = (prefix) => `${prefix}-${++fresh}`;

/** The two letters of somebody's picture, black or white on their colour, whichever reads better. */
export function avatar(person, size = "") {
  const name = person?.name ?? "?";
  const letters = [...name.replace(/[^\p{L}\p{N}]+/gu, " ").trim()].slice(0, 1).join("").toUpperCase() || "?";
  const node = el("span", { class: `avatar ${size}`, "aria-hidden": "true" }, letters);
  const color = /^#[0-9a-f]{6}$/i.test(person?.color ?? "") ? person.color : colorOf(String(person?.id ?? name));
  node.style.backgroundColor = color;
  node.style.color = luminance(color) > 0.3 ? "#111" : "#fff";
  return node;
}

const COLORS = ["#8c4a2f", "#0f6b62", "#5a4b9a", "#a3486b", "#3d6f2e", "#9a6a10", "#2f6191", "#7a3e8c"];

function colorOf(text) {
  let sum = 7;
  for (const letter of text) sum = (sum * 31 + letter.codePointAt(0)) >>> 0;
  return COLORS[sum % COLORS.length];
}

function luminance(hex) {
  const [r, g, b] = [1, 3, 5].map((at) => {
    const part = parseInt(hex.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** A small dialog: build(close) returns its contents. Focus goes back to where it was. */
export function dialog(title, build, { onclose, wide = false } = {}) {
  const before = document.activeElement;
  const heading = el("h2", { id: freshId("dialog") }, title);
  const box = el("dialog", { "aria-labelledby": heading.id, class: wide ? "wide" : "" });
  const close = () => box.close();
  fill(box, el("div", { class: "dialog-head" }, heading,
    el("button", { type: "button", class: "quiet", "aria-label": "Close", onclick: close }, "✕")), build(close));
  box.addEventListener("close", () => {
    box.remove();
    onclose?.();
    if (before?.isConnected) before.focus();
  });
  box.addEventListener("click", (event) => event.target === box && close());
  document.body.append(box);
  box.showModal();
  return box;
}

/** Only web addresses become links; everything else stays text. */
export function safeUrl(text) {
  try {
    const url = new URL(text);
    return url.protocol === "http:" || url.protocol === "https:" ? url.href : null;
  } catch {
    return null;
  }
}

export const outside = (href, ...children) =>
  el("a", { href, target: "_blank", rel: "noopener noreferrer", title: `${href} (leaves this computer)` }, ...children);

/* Whether an input method took this key: Safari ends the composition before it tells the key that ended it. */
export const composing = (event) => event.isComposing || event.keyCode === 229;
