// The tree of markdown.js as elements. Only text nodes and attributes checked by safeUrl.
import { el, outside, safeUrl } from "./dom.js";
import { inline, parse } from "./markdown.js";
import { allChannels, personOf, state } from "./state.js";
import { timeElement } from "./times.js";

export const markdown = (text) => parse(text ?? "").map(block);
export const markdownLine = (text) => inline((text ?? "").replaceAll("\n", " ")).map(piece);

/** In one line of plain words, for quotes and for reading out: no links or buttons, and spoilers stay covered. */
export const plainLine = (text) => inline((text ?? "").replaceAll("\n", " ")).map(plain).join("");

function plain(node) {
  if (node.kind === "spoiler") return "(spoiler)";
  if (node.kind === "masked") return `${node.label} (${node.url})`;
  if (node.kind === "link") return node.url;
  if (node.children) return node.children.map(plain).join("");
  const made = piece(node);
  return made instanceof Node ? made.textContent : made;
}

function block(node) {
  switch (node.kind) {
    case "code":
      return codeBlock(node);
    case "quote":
      return el("blockquote", {}, node.children.map(block));
    case "heading": // below the page's own headings
      return el(`h${node.level + 2}`, { class: `md-h${node.level}` }, node.children.map(piece));
    case "small":
      return el("p", { class: "md-small" }, node.children.map(piece));
    case "list":
      return el(node.ordered ? "ol" : "ul", { class: "md-list", start: node.ordered ? node.start : null },
        node.items.map((item) => el("li", { class: `level-${item.level}` }, item.children.map(piece))));
    default:
      return el("p", {}, node.children.map(piece));
  }
}

function codeBlock({ text, language }) {
  return el("pre", { tabindex: "0", "aria-label": language ? `Code: ${language}` : "Code" },
    language && el("span", { class: "code-language", "aria-hidden": "true" }, language), el("code", {}, text));
}

const TAGS = { bold: "strong", italic: "em", underline: "u", strike: "s" };

function piece(node) {
  if (TAGS[node.kind]) return el(TAGS[node.kind], {}, node.children.map(piece));
  switch (node.kind) {
    case "inline-code":
      return el("code", {}, node.text);
    case "spoiler":
      return spoiler(node.children.map(piece));
    case "user":
      return mention(`@${personOf(node.id).name}`, node.id === state.me?.id, { user: node.id });
    case "role":
      return mention(`@${roleName(node.id)}`, false);
    case "everyone":
      return mention(node.text, false);
    case "channel": {
      const channel = allChannels().find((known) => known.id === node.id);
      return channel
        ? el("button", { type: "button", class: "mention", dataset: { goto: channel.id } }, `#${channel.name}`)
        : mention("#unknown", false);
    }
    case "command":
      return mention(`/${node.name}`, false);
    case "time":
      return timeElement(node.seconds, node.style);
    case "link":
      return link(node.url, node.url);
    case "masked":
      return masked(node);
    default:
      return node.text;
  }
}

function mention(text, mine, dataset = {}) {
  return el("span", { class: mine ? "mention mine" : "mention", dataset }, text);
}

function roleName(id) {
  for (const server of state.servers) {
    const role = server.roles.find((known) => known.id === id);
    if (role) return role.name;
  }
  return "unknown role";
}

function link(url, label) {
  const href = safeUrl(url);
  return href ? outside(href, label) : label;
}

/** A masked link always shows where it goes. */
function masked({ label, url }) {
  const href = safeUrl(url);
  if (!href) return `${label} (${url})`;
  return el("span", {}, outside(href, label), el("span", { class: "link-address" }, ` (${href})`));
}

function spoiler(children) {
  const open = () => {
    node.classList.add("open");
    node.removeAttribute("role");
    node.removeAttribute("tabindex");
    node.removeAttribute("aria-label");
    inner.removeAttribute("aria-hidden");
    inner.inert = false;
  };
  const inner = el("span", { "aria-hidden": "true" }, children);
  inner.inert = true;
  const node = el("span", {
    class: "spoiler", role: "button", tabindex: "0", "aria-label": "Spoiler, press to show", onclick: open,
    onkeydown: (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      event.stopPropagation();
      open();
    },
  }, inner);
  return node;
}
