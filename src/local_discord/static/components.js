// Buttons, select menus and the layout components of a message.
import { act } from "./connection.js";
import { dialog, el, freshId, outside, safeUrl, trouble } from "./dom.js";
import { markdown } from "./markdown_view.js";
import { embedPicture } from "./message_parts.js";
import { allChannels, channelOf, personOf, serverOf, state } from "./state.js";

const STYLES = { 1: "primary", 2: "", 3: "success", 4: "danger", 5: "" };

export const components = (message) => (message.components ?? []).map((part) => component(part, message));

function component(part, message) {
  const inside = () => (part.components ?? []).map((child) => component(child, message));
  switch (part.type) {
    case 1:
      return el("div", { class: "buttons" }, inside());
    case 2:
      return button(part, message);
    case 3: case 5: case 6: case 7: case 8:
      return selectMenu(part, message);
    case 9:
      return el("div", { class: "section" }, el("div", {}, inside()), part.accessory && component(part.accessory, message));
    case 10:
      return el("div", { class: "text" }, markdown(part.content));
    case 11:
      return embedPicture({ url: part.media?.url ?? "", description: part.description });
    case 12:
      return el("div", { class: "gallery" }, (part.items ?? []).map((item) => embedPicture({ url: item.media?.url ?? "", description: item.description })));
    case 14:
      return el("hr", { class: part.divider === false ? "gap" : "" });
    case 17:
      return el("div", { class: "embed" }, inside());
    default:
      return null; // 13, a file, is listed among the attachments
  }
}

const emojiOf = (emoji) => emoji?.name ? `${emoji.id ? `:${emoji.name}:` : emoji.name} ` : "";

function button(part, message) {
  const label = `${emojiOf(part.emoji)}${part.label ?? ""}`.trim() || "button";
  if (part.style === 5) {
    const href = safeUrl(part.url);
    return href ? el("span", { class: "link-button" }, outside(href, label), el("small", {}, ` ${href}`)) : null;
  }
  const node = el("button", { type: "button", class: `component ${STYLES[part.style] ?? ""}`, disabled: part.disabled }, label);
  node.addEventListener("click", () => whileBusy(node, act("click", { message_id: message.id, custom_id: part.custom_id })));
  return node;
}

/** Not twice for one impatient person; free again when the bot has answered, or soon. */
async function whileBusy(node, doing) {
  node.setAttribute("aria-busy", "true");
  node.disabled = true;
  await told(doing);
  node.removeAttribute("aria-busy");
  node.disabled = false;
}

/** Says so when the bot let an interaction lie. */
export async function told(doing) {
  const result = await doing;
  if (result && !result.answered) trouble("The bot did not answer in time.");
  return result;
}

/** What a select offers: its own options, or people, roles and channels of this place. -> [{label, value, ...}] */
export function optionsOf(part, channelId) {
  if (part.type === 3) return part.options ?? [];
  const channel = channelOf(channelId);
  const server = serverOf(channel);
  const ids = server ? server.members.map((member) => member.id) : [channel?.with, state.me.id].filter(Boolean);
  const users = ids.map((id) => ({ label: `@${personOf(id).name}`, value: id }));
  const roles = (server?.roles ?? []).map((role) => ({ label: `${role.name} (role)`, value: role.id }));
  if (part.type === 5) return users;
  if (part.type === 6) return roles;
  if (part.type === 7) return [...users, ...roles];
  const kinds = part.channel_types ?? [];
  return allChannels().filter((known) => known.server_id && known.server_id === channel?.server_id)
    .filter((known) => !kinds.length || kinds.includes(known.type))
    .map((known) => ({ label: `#${known.name}`, value: known.id }));
}

const presets = (part) => (part.default_values ?? []).map((preset) => String(preset.id));

function selectMenu(part, message) {
  const options = optionsOf(part, message.channel_id);
  const title = part.placeholder || "Choose";
  const send = (values) => told(act("choose", { message_id: message.id, custom_id: part.custom_id, values }));
  if ((part.max_values ?? 1) > 1) {
    return el("button", { type: "button", class: "component", disabled: part.disabled, "aria-haspopup": "dialog",
      onclick: () => chooseSeveral(title, part, options, send) }, `${title} ▾`);
  }
  const preset = presets(part)[0];
  const node = el("select", { class: "component", "aria-label": title, disabled: part.disabled },
    el("option", { value: "", disabled: (part.min_values ?? 1) > 0 }, title),
    options.map((option) => el("option", { value: option.value }, optionText(option))));
  node.value = options.find((option) => option.default)?.value ?? preset ?? "";
  node.addEventListener("change", () => send(node.value ? [node.value] : []));
  return node;
}

export const optionText = (option) => `${emojiOf(option.emoji)}${option.label}${option.description ? `: ${option.description}` : ""}`;

/** Check boxes for a select with several values, used in messages and in forms. */
export function checkBoxes(part, options) {
  const chosen = new Set([...options.filter((o) => o.default).map((o) => o.value), ...presets(part)]);
  const name = freshId("boxes");
  return el("div", { class: "boxes", role: "group" }, options.map((option) =>
    el("label", { class: "box" }, el("input", { type: "checkbox", name, value: option.value, checked: chosen.has(option.value) }),
      " ", optionText(option))));
}

export const checkedIn = (group) => [...group.querySelectorAll("input:checked")].map((input) => input.value);

function chooseSeveral(title, part, options, send) {
  const least = part.min_values ?? 1;
  const most = part.max_values;
  dialog(title, (close) => {
    const boxes = checkBoxes(part, options);
    const problem = el("p", { class: "problem", role: "alert" });
    return el("form", { onsubmit: (event) => {
      event.preventDefault();
      const values = checkedIn(boxes);
      if (values.length < least || values.length > most) {
        problem.textContent = `Choose ${least === most ? least : `${least} to ${most}`}; now it is ${values.length}.`;
        return;
      }
      close();
      send(values);
    } }, boxes, problem, el("div", { class: "row end" }, el("button", { type: "submit", class: "main-button" }, "Done")));
  });
}
