// Where one writes: sending, replying, editing, files, suggestions for /commands, @people and #channels.
import { act } from "./connection.js";
import { byId, composing, el, fill, trouble } from "./dom.js";
import { pickEmoji } from "./emoji.js";
import { commandsHere, flatten } from "./command_list.js";
import { closeCommand, commandOpen, openCommand } from "./command_form.js";
import { fileSize } from "./message_parts.js";
import { fromWire, matching, toWire } from "./names.js";
import { channelOf, messagesOf, personOf, state } from "./state.js";
import { Suggestions } from "./suggestions.js";

const box = byId("write");
let files = [];
let replyTo = null;
let editing = null;
let typedAt = 0;
const drafts = new Map();
let draftOf = null;

export function setUpComposer() {
  new Suggestions(box, byId("suggestions"), suggest);
  box.addEventListener("input", () => {
    grow();
    tellTyping();
  });
  box.addEventListener("keydown", key);
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!commandOpen()) send();
  });
  byId("attach").addEventListener("click", () => byId("file-input").click());
  byId("file-input").addEventListener("change", (event) => {
    addFiles([...event.target.files]);
    event.target.value = "";
  });
  byId("emoji").addEventListener("click", () => pickEmoji(byId("emoji"), insert));
  box.addEventListener("paste", (event) => {
    if (!event.clipboardData.files.length) return;
    event.preventDefault();
    addFiles([...event.clipboardData.files]);
  });
  setUpDrop(document.querySelector("main"));
}

function setUpDrop(area) {
  const hint = byId("drop-hint");
  let depth = 0;
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  area.addEventListener("dragenter", (event) => {
    if (!carriesFiles(event)) return;
    depth += 1;
    hint.hidden = false;
  });
  area.addEventListener("dragleave", () => {
    depth = Math.max(0, depth - 1);
    hint.hidden = depth === 0;
  });
  area.addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault());
  area.addEventListener("drop", (event) => {
    depth = 0;
    hint.hidden = true;
    if (!carriesFiles(event)) return;
    event.preventDefault();
    addFiles([...event.dataTransfer.files]);
  });
}

export function drawComposer() {
  const channel = channelOf(state.channelId);
  const may = Boolean(channel?.can_send);
  if (draftOf !== state.channelId) changeChannel();
  box.disabled = !may;
  for (const id of ["attach", "send", "emoji"]) byId(id).disabled = !may || (id === "attach" && channel.can_attach === false);
  box.placeholder = !channel ? "" : may ? `Message ${channel.kind === "dm" ? channel.name : `#${channel.name}`}` : "You may read here, but not write.";
  byId("write-hint").textContent = may ? hints(channel) : "";
}

const hints = (channel) => ["/ for commands, @ for people, Shift+Enter for a new line", channel.can_attach === false && "files are not allowed here"].filter(Boolean).join(" · ");

function changeChannel() {
  if (draftOf) drafts.set(draftOf, editing ? "" : box.value);
  draftOf = state.channelId;
  cancel();
  closeCommand();
  box.value = drafts.get(draftOf) ?? "";
  files = [];
  drawFiles();
  grow();
}

function grow() {
  box.style.height = "auto";
  box.style.height = `${Math.min(box.scrollHeight, innerHeight * 0.4)}px`;
}

function tellTyping() {
  if (!box.value.trim() || box.value.startsWith("/") || editing || Date.now() - typedAt < 8000) return;
  typedAt = Date.now();
  act("typing", { channel_id: state.channelId }, [], { quiet: true });
}

function key(event) {
  if (composing(event) || event.defaultPrevented) return;
  if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    send();
  } else if (event.key === "Escape" && (editing || replyTo)) cancel(Boolean(editing));
  else if (event.key === "ArrowUp" && !box.value && !files.length) {
    const last = messagesOf(state.channelId).findLast((message) => message.author?.id === state.me.id && message.editable);
    if (last) {
      event.preventDefault();
      startEdit(last);
    }
  }
}

let sending = false;

async function send() {
  if (sending) return; // Enter held down
  const text = toWire(box.value, state.channelId);
  const channelId = state.channelId;
  if (editing) {
    const { id } = editing;
    if (!text.trim()) return;
    if (await act("edit", { message_id: id, content: text })) cancel(true);
    return;
  }
  if (!text.trim() && !files.length) return;
  if (/^\/\S/.test(text) && !files.length && await startTyped(text)) return;
  sending = true;
  const [typed, sent, answered] = [box.value, files, replyTo];
  box.value = "";
  files = [];
  cancel();
  drawFiles();
  grow();
  const done = await act("send", { channel_id: channelId, content: text, reply_to: answered?.id ?? null }, sent);
  sending = false;
  typedAt = 0;
  if (done || box.value || state.channelId !== channelId) return;
  box.value = typed; // nothing of what was written is lost
  files = sent;
  drawFiles();
  grow();
}

/** "/name" typed out and entered: opens the command instead of sending the text. */
async function startTyped(text) {
  const all = flatten(await commandsHere(state.channelId));
  const typed = text.slice(1).trim();
  const found = all.find((entry) => entry.title === typed) ?? all.find((entry) => typed.startsWith(`${entry.title} `));
  if (!found) {
    trouble(`There is no command ${text.split(/\s/)[0]} here. Type / to see those there are.`);
    return true;
  }
  begin(found);
  return true;
}

function begin(entry) {
  box.value = "";
  grow();
  cancel();
  openCommand(entry, state.channelId);
}

async function suggest(text, caret) {
  if (/^\/[^\n]*$/.test(text) && !editing) {
    const wanted = text.slice(1).toLowerCase();
    const all = flatten(await commandsHere(state.channelId));
    const hits = all.filter((entry) => entry.title.includes(wanted) || (wanted.length > 2 && entry.description.toLowerCase().includes(wanted)));
    hits.sort((a, b) => Number(b.title.startsWith(wanted)) - Number(a.title.startsWith(wanted)) || a.title.localeCompare(b.title));
    return hits.map((entry) => ({ label: `/${entry.title}`, detail: entry.description, note: entry.command.bot, take: () => begin(entry) }));
  }
  return matching(text, caret, state.channelId).map((name) => ({
    label: name.shown, detail: name.detail,
    take: () => {
      box.setRangeText(`${name.shown} `, name.from, caret, "end");
      grow();
    },
  }));
}

export function insert(text) {
  box.setRangeText(text, box.selectionStart, box.selectionEnd, "end");
  grow();
  setTimeout(() => box.focus());
}

// ------------------------------------------------------------------------------------------- replying, editing, files
function note(text, onCancel) {
  const line = byId("composer-note");
  line.hidden = !text;
  fill(line, text, text && el("button", { type: "button", class: "quiet", "aria-label": "Cancel", onclick: onCancel }, "✕"));
}

export function cancel(clear = false) {
  replyTo = null;
  editing = null;
  note("");
  if (clear) box.value = "";
  grow();
}

export function startReply(message) {
  cancel(Boolean(editing));
  replyTo = message;
  note(`Answering ${personOf(message.author.id).name}`, () => cancel());
  setTimeout(() => box.focus());
}

export function startEdit(message) {
  cancel();
  editing = message;
  box.value = fromWire(message.content, message.channel_id);
  note("Editing your message: Enter saves, Esc leaves it as it was", () => cancel(true));
  grow();
  setTimeout(() => {
    box.focus();
    box.setSelectionRange(box.value.length, box.value.length);
  });
}

function addFiles(more) {
  if (channelOf(state.channelId)?.can_attach === false) return trouble("Files are not allowed here.");
  if (files.length + more.length > 10) trouble("A message carries 10 files at most.");
  files = [...files, ...more].slice(0, 10);
  drawFiles();
  return box.focus();
}

function drawFiles() {
  const list = byId("uploads");
  list.hidden = files.length === 0;
  fill(list, files.map((file) => el("li", {}, file.name, " ", el("small", {}, fileSize(file.size)),
    el("button", { type: "button", class: "quiet", "aria-label": `Take ${file.name} off`, onclick: () => {
      files = files.filter((other) => other !== file);
      drawFiles();
      box.focus();
    } }, "✕"))));
}
