// Context menus on messages and people, with the commands bots put there.
import { act } from "./connection.js";
import { announce, el, trouble } from "./dom.js";
import { pickEmoji, place } from "./emoji.js";
import { ask, confirmFirst } from "./modals.js";
import { bus } from "./bus.js";
import { commandsHere, invoke } from "./command_list.js";
import { channelOf, personOf, state } from "./state.js";

let closeOpen = null;

/** entries: [{label, run, danger}] or null for a line. anchor: an element, or a pointer event. */
export function openMenu(anchor, label, entries) {
  closeOpen?.();
  const back = anchor instanceof Element ? anchor : anchor.target.closest("[tabindex], button");
  const items = entries.map((entry) => entry === null ? el("li", { role: "separator" })
    : el("li", { role: "none" }, el("button", { type: "button", role: "menuitem", tabindex: "-1", class: entry.danger ? "danger" : "",
      onclick: () => {
        close();
        entry.run();
      } }, entry.label, entry.note && el("small", {}, entry.note))));
  const box = el("ul", { class: "popup menu", role: "menu", "aria-label": label }, items);
  const buttons = [...box.querySelectorAll("button")];
  const leave = (event) => !box.contains(event.target) && close();
  const close = () => {
    const held = box.contains(document.activeElement);
    box.remove();
    document.removeEventListener("pointerdown", leave);
    closeOpen = null;
    if (held && back?.isConnected) back.focus();
  };
  box.addEventListener("keydown", (event) => {
    const at = buttons.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    if (to !== undefined) buttons.at(to % buttons.length).focus();
    else if (event.key === "Escape" || event.key === "Tab") close();
    else if (event.key.length === 1) buttons.find((b, i) => i > at && b.textContent.toLowerCase().startsWith(event.key.toLowerCase()))?.focus();
    else return;
    if (event.key !== "Tab" && event.key !== "Enter" && event.key !== " ") event.preventDefault();
    event.stopPropagation();
  });
  closeOpen = close;
  document.body.append(box);
  place(box, anchor);
  buttons[0]?.focus();
  setTimeout(() => document.addEventListener("pointerdown", leave));
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    announce("Copied.");
  } catch {
    trouble(`Copying is not allowed here. The id is ${text}.`);
  }
}

export async function openMessageMenu(message, anchor) {
  const channel = channelOf(message.channel_id);
  const mine = message.author?.id === state.me.id;
  const entries = [];
  const put = (label, run, more = {}) => entries.push({ label, run, ...more });
  if (!message.ephemeral) {
    if (channel?.can_send) put("Reply", () => bus.reply(message));
    if (channel?.can_react) put("Add reaction", () => pickEmoji(anchor instanceof Element ? anchor : anchor.target, (emoji) => act("react", { message_id: message.id, emoji })));
    if (mine && message.editable) put("Edit", () => bus.edit(message));
    if (channel?.can_thread && channel.kind === "text" && !message.thread) {
      put("Create thread", () => ask("Create thread", "Name of the thread", async (name) => {
        const made = await act("create_thread", { channel_id: message.channel_id, name, message_id: message.id });
        if (made) bus.goTo(made.channel_id);
      }, { button: "Create" }));
    }
    const commands = (await commandsHere(message.channel_id)).filter((command) => command.type === 3);
    if (commands.length) entries.push(null);
    for (const command of commands) {
      put(command.name, () => invoke(message.channel_id, command, [], {}, { targetId: message.id }), { note: command.bot });
    }
    entries.push(null);
  }
  if (message.content) put("Copy text", () => copy(message.content));
  put("Copy message id", () => copy(message.id));
  if (!message.ephemeral && (mine || channel?.can_manage)) {
    put("Delete", () => confirmFirst("Delete this message?", "It will be gone for everyone.", "Delete", () => act("delete", { message_id: message.id })), { danger: true });
  }
  openMenu(anchor, "Message", entries);
}

export async function openUserMenu(userId, anchor) {
  const person = personOf(userId);
  const entries = [];
  const channelId = state.channelId;
  if (person.bot) {
    entries.push({ label: "Write privately", run: async () => {
      const made = await act("open_dm", { bot_id: userId });
      if (made) bus.goTo(made.channel_id);
    } });
  }
  if (channelOf(channelId)?.can_send) entries.push({ label: "Mention", run: () => bus.insert(`@${person.name} `) });
  if (userId !== state.me.id && !person.bot) entries.push({ label: `Be ${person.name}`, run: () => bus.become(userId) });
  const commands = channelId ? (await commandsHere(channelId)).filter((command) => command.type === 2) : [];
  if (commands.length) entries.push(null);
  for (const command of commands) {
    entries.push({ label: command.name, note: command.bot, run: () => invoke(channelId, command, [], {}, { targetId: userId }) });
  }
  entries.push(null, { label: "Copy user id", run: () => copy(userId) });
  openMenu(anchor, person.name, entries);
}
