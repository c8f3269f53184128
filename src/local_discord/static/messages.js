// The message list: bursts of one person grouped, days parted, elements kept as long as their message is unchanged.
import { announce, avatar, byId, el, fill } from "./dom.js";
import { markdown, plainLine } from "./markdown_view.js";
import { attachments, embeds, reactions } from "./message_parts.js";
import { components } from "./components.js";
import { openMessageMenu, openUserMenu } from "./menus.js";
import { channelOf, markRead, messagesOf, older, personOf, state, typingIn } from "./state.js";
import { dayName, sameDay, shortStamp, stamp } from "./times.js";
import { act } from "./connection.js";

const BURST_MS = 7 * 60 * 1000;
const DEFAULT_KINDS = new Set([0, 19, 20, 21, 23]);
const drawn = new Map(); // key -> {message, grouped, node}
let shownChannel = null;
let stick = true; // stay at the newest message
let newLine = null; // first unread id when the channel was opened

const scroller = () => byId("scroller");
const atEnd = () => scroller().scrollHeight - scroller().scrollTop - scroller().clientHeight < 60;

export function setUpMessages() {
  scroller().addEventListener("scroll", () => {
    stick = atEnd();
    if (stick) {
      byId("to-newest").hidden = true;
      if (document.hasFocus()) markRead(state.channelId);
    }
  });
  byId("to-newest").addEventListener("click", toNewest);
  byId("messages").addEventListener("load", () => stick && toNewest(), true); // a picture arrived
  byId("messages").addEventListener("keydown", moveAmong);
  new ResizeObserver(() => stick && toNewest()).observe(scroller());
}

export function toNewest() {
  scroller().scrollTop = scroller().scrollHeight;
  stick = true;
  byId("to-newest").hidden = true;
}

export function openedChannel(firstUnread) {
  drawn.clear();
  shownChannel = state.channelId;
  newLine = firstUnread;
  stick = true;
  fill(byId("messages"));
}

export function forgetDrawn() {
  drawn.clear();
}

export function drawMessages() {
  if (shownChannel !== state.channelId) openedChannel(null);
  const list = byId("messages");
  const messages = messagesOf(state.channelId).filter((message) => !state.dismissed.has(message.id));
  const wanted = [];
  let previous = null;
  let marked = false;
  for (const message of messages) {
    const at = new Date(message.at);
    if (!previous || !sameDay(new Date(previous.at), at)) wanted.push(separator(`day-${at.toDateString()}`, dayName(at), "day"));
    const breaks = newLine && !marked && !older(message.id, newLine);
    if (breaks) {
      marked = true;
      wanted.push(separator(`new-${newLine}`, "New", "new"));
    }
    wanted.push(nodeOf(message, !breaks && goesOn(previous, message)));
    previous = message;
  }
  for (const [id, pending] of state.pending) {
    if (pending.channel_id === state.channelId) wanted.push(el("li", { class: "pending", dataset: { key: id } }, pending.text));
  }
  if (!wanted.length) wanted.push(el("li", { class: "empty" }, emptyText()));
  reconcile(list, wanted);
  byId("older").hidden = state.complete.has(state.channelId) || messages.length === 0;
  setRoving(list);
  if (stick) toNewest();
}

function emptyText() {
  const channel = channelOf(state.channelId);
  if (!channel) return "Choose a channel on the left.";
  return channel.kind === "dm" ? `This is the beginning of your talk with ${channel.name}.` : `Nothing here yet. Say something in ${channel.name}.`;
}

/** Puts `wanted` in place, moving as few elements as it can: focus and open menus survive. */
function reconcile(list, wanted) {
  const keep = new Set(wanted);
  for (const child of [...list.children]) if (!keep.has(child)) child.remove();
  wanted.forEach((node, at) => {
    if (list.children[at] !== node) list.insertBefore(node, list.children[at] ?? null);
  });
}

const separators = new Map();

function separator(key, text, kind) {
  if (!separators.has(key)) separators.set(key, el("li", { class: `separator ${kind}`, role: "separator" }, el("span", {}, text)));
  return separators.get(key);
}

function goesOn(previous, message) {
  return Boolean(previous) && previous.author?.id === message.author?.id && !message.reply && !message.interaction?.name
    && DEFAULT_KINDS.has(message.kind) && DEFAULT_KINDS.has(previous.kind) && previous.ephemeral === message.ephemeral
    && sameDay(new Date(previous.at), new Date(message.at)) && new Date(message.at) - new Date(previous.at) < BURST_MS;
}

function nodeOf(message, grouped) {
  const known = drawn.get(message.id);
  if (known && known.message === message && known.grouped === grouped) return known.node;
  const node = drawMessage(message, grouped);
  if (known?.node.contains(document.activeElement)) queueMicrotask(() => node.focus());
  drawn.set(message.id, { message, grouped, node });
  return node;
}

function drawMessage(message, grouped) {
  const author = message.author ?? { name: "?" };
  const at = new Date(message.at);
  const classes = ["message", grouped && "grouped", message.ephemeral && "private", message.mentions_me && "to-me"];
  const menu = el("button", { type: "button", class: "quiet more", "aria-haspopup": "menu",
    "aria-label": `Actions for the message of ${author.name}`, tabindex: "-1" }, "⋯");
  menu.addEventListener("click", () => openMessageMenu(message, menu));
  const node = el("li", { class: classes.filter(Boolean).join(" "), tabindex: "-1", dataset: { message: message.id } },
    grouped ? el("span", { class: "beside" }, shortStamp(at)) : el("span", { class: "beside" }, avatar(author)),
    el("div", { class: "body" }, DEFAULT_KINDS.has(message.kind) ? spoken(message, grouped, at) : platformLine(message, at)),
    menu);
  node.addEventListener("contextmenu", (event) => {
    if (event.target.closest("a, input, select, textarea") || String(getSelection())) return;
    event.preventDefault();
    openMessageMenu(message, event.clientX || event.clientY ? event : node);
  });
  return node;
}

function spoken(message, grouped, at) {
  const author = message.author ?? { name: "?" };
  const name = el("button", { type: "button", class: "author", "aria-haspopup": "menu" }, author.name);
  name.addEventListener("click", () => openUserMenu(author.id, name));
  const edited = message.edited && el("span", { class: "edited" }, "(edited)");
  return [
    message.reply && quoted(message),
    message.interaction?.name && el("p", { class: "used" }, `${personOf(message.interaction.user_id).name} used `,
      el("b", {}, message.interaction.name)),
    grouped ? el("span", { class: "unseen" }, `${author.name}, `)
      : el("p", { class: "heading" }, name, author.bot && el("span", { class: "bot-mark" }, "bot"), stamp(at)),
    message.thinking && el("p", { class: "thinking" }, `${author.name} is thinking`, el("span", { class: "dots", "aria-hidden": "true" })),
    message.content && el("div", { class: "text" }, markdown(message.content), edited),
    message.forwarded.map((inner) => el("blockquote", { class: "text" }, el("p", { class: "used" }, "Forwarded"), markdown(inner.content), attachments(inner))),
    attachments(message), embeds(message), components(message), reactions(message),
    !message.content && edited, message.thread && threadLink(message.thread), message.ephemeral && privateLine(message),
  ];
}

function quoted(message) {
  const { reply } = message;
  if (reply.gone) return el("p", { class: "quoted" }, "↰ ", el("i", {}, "The message this answers was deleted."));
  const go = el("button", { type: "button", class: "quoted", "aria-label": `Answers ${reply.author}: ${plainLine(reply.content)}` },
    "↰ ", el("b", {}, reply.author), " ", el("span", { class: "quoted-text" }, reply.content ? plainLine(reply.content) : el("i", {}, "a file")));
  go.addEventListener("click", () => showMessage(reply.id));
  return go;
}

export function showMessage(id) {
  const node = byId("messages").querySelector(`[data-message="${CSS.escape(id)}"]`);
  if (!node) return;
  node.scrollIntoView({ block: "center" });
  node.focus();
}

const PLATFORM = {
  6: "pinned a message.", 7: "is here now.", 18: "started a thread:", 8: "boosted this server.",
};

function platformLine(message, at) {
  return el("p", { class: "platform" }, el("b", {}, message.author?.name ?? "Somebody"), " ",
    PLATFORM[message.kind] ?? `(a notice of kind ${message.kind})`, " ", message.content, " ", stamp(at),
    message.thread && threadLink(message.thread));
}

const threadLink = (thread) =>
  el("button", { type: "button", class: "thread-link", dataset: { goto: thread.id } }, `↳ ${thread.name}`, el("span", { class: "unseen" }, " (open the thread)"));

function privateLine(message) {
  return el("p", { class: "only-you" }, el("span", { "aria-hidden": "true" }, "◉ "), "Only you can see this · ",
    el("button", { type: "button", class: "link", onclick: () => {
      state.dismissed.add(message.id);
      act("dismiss", { message_id: message.id }, [], { quiet: true });
      drawMessages();
      byId("write").focus();
    } }, "Dismiss"));
}

// ------------------------------------------------------------------------------------------------- keyboard and news
function setRoving(list) {
  const nodes = [...list.querySelectorAll(":scope > .message")];
  if (!nodes.some((node) => node.tabIndex === 0)) nodes.at(-1)?.setAttribute("tabindex", "0");
}

function moveAmong(event) {
  const current = event.target.closest(".message");
  if (!current || event.target !== current) return;
  const nodes = [...byId("messages").querySelectorAll(":scope > .message")];
  const at = nodes.indexOf(current);
  const to = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: nodes.length - 1 }[event.key];
  if (to !== undefined) {
    event.preventDefault();
    const next = nodes[Math.max(0, Math.min(nodes.length - 1, to))];
    for (const node of nodes) node.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  } else if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    openMessageMenu(drawn.get(current.dataset.message).message, current);
  }
}

export function newMessage(message) {
  if (message.author?.id === state.me.id) stick = true;
  const channel = channelOf(message.channel_id);
  if (message.channel_id === state.channelId) {
    if (message.author?.id !== state.me.id && !message.thinking) announce(`${message.author?.name}: ${plainLine(message.content) || "a message without text"}`);
    if (!stick) byId("to-newest").hidden = false;
    else if (document.hasFocus()) markRead(state.channelId);
  } else if (message.mentions_me) announce(`${message.author?.name} mentioned you in ${channel?.name}`);
}

export function drawTyping() {
  const names = typingIn(state.channelId);
  const text = names.length === 0 ? "" : names.length > 3 ? "Several people are typing" : `${names.join(", ")} ${names.length > 1 ? "are" : "is"} typing`;
  fill(byId("typing"), text, text && el("span", { class: "dots", "aria-hidden": "true" }));
}
