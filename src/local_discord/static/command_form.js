// A slash command being filled in: one field an option, required ones first, autocomplete asked from the bot.
import { act } from "./connection.js";
import { byId, composing, el, fill, freshId } from "./dom.js";
import { invoke } from "./command_list.js";
import { optionsOf } from "./components.js";
import { Suggestions } from "./suggestions.js";

const KINDS = { 3: "text", 4: "whole number", 5: "yes or no", 6: "person", 7: "channel", 8: "role", 9: "person or role", 10: "number", 11: "file" };
const SELECTS = { 6: 5, 7: 8, 8: 6, 9: 7 }; // option type -> the select menu with the same choice
let open = null; // {entry, channelId, fields}

export const commandOpen = () => open !== null;

export function closeCommand() {
  if (!open) return;
  open = null;
  fill(byId("command-form")).hidden = true;
  document.querySelector(".write-row").hidden = false;
  byId("write-hint").hidden = false;
  byId("write").focus();
}

export function openCommand(entry, channelId) {
  if (entry.options.length === 0) {
    invoke(channelId, entry.command, entry.path, {});
    return;
  }
  open = { entry, channelId, fields: [] };
  const required = entry.options.filter((option) => option.required);
  const optional = entry.options.filter((option) => !option.required);
  const fields = el("div", { class: "options" }, required.map(addField));
  const more = el("div", { class: "more-options", role: "group", "aria-label": "More options" }, optional.map((option) => {
    const chip = el("button", { type: "button", title: option.description, onclick: () => {
      const field = addField(option);
      fields.append(field);
      chip.remove();
      field.querySelector("input, select").focus();
    } }, `+ ${option.name}`);
    return chip;
  }));
  const problem = el("p", { class: "problem", role: "alert" });
  const box = byId("command-form");
  fill(box, el("div", { class: "command-head" }, el("b", {}, `/${entry.title}`), " ", el("span", {}, entry.description), el("small", {}, entry.command.bot),
    el("button", { type: "button", class: "quiet", "aria-label": "Close the command", onclick: closeCommand }, "✕")),
  fields, optional.length > 0 && more, problem,
  el("div", { class: "row end" }, el("button", { type: "button", class: "main-button", onclick: () => run(problem) }, "Run")));
  box.onkeydown = (event) => {
    if (composing(event)) return;
    if (event.key === "Escape") closeCommand();
    else if (event.key === "Enter" && event.target.matches("input, select")) run(problem);
    else return;
    event.preventDefault();
  };
  document.querySelector(".write-row").hidden = true;
  byId("write-hint").hidden = true;
  box.hidden = false;
  const first = required.length ? fields.querySelector("input, select") : more.querySelector("button");
  first?.focus();
}

function addField(option) {
  const { channelId } = open;
  const id = freshId("option");
  const hint = [KINDS[option.type], bounds(option), option.description].filter(Boolean).join(" · ");
  const field = { option, files: [], picked: null };
  const parts = inputFor(option, channelId, field);
  field.input.id = id;
  field.input.setAttribute("aria-describedby", `${id}-hint`);
  open.fields.push(field);
  return el("div", { class: "field" }, el("label", { for: id }, option.name, option.required && el("span", { class: "must" }, " (required)")),
    parts, el("small", { id: `${id}-hint` }, hint));
}

function bounds(option) {
  const [least, most] = [option.min_value ?? option.min_length, option.max_value ?? option.max_length];
  const unit = option.type === 3 ? " characters" : "";
  if (least !== undefined && most !== undefined) return `${least} to ${most}${unit}`;
  return least !== undefined ? `${least}${unit} or more` : most !== undefined ? `at most ${most}${unit}` : "";
}

function inputFor(option, channelId, field) {
  if (option.type === 11) field.input = el("input", { type: "file" });
  else if (option.type === 5) field.input = choice([{ label: "yes", value: "true" }, { label: "no", value: "false" }]);
  else if (SELECTS[option.type]) field.input = choice(optionsOf({ type: SELECTS[option.type], channel_types: option.channel_types }, channelId));
  else if (option.choices?.length) field.input = choice(option.choices.map((one) => ({ label: one.name, value: String(one.value) })));
  else {
    field.input = el("input", { type: "text", autocomplete: "off", inputmode: option.type === 4 ? "numeric" : option.type === 10 ? "decimal" : null,
      maxlength: option.type === 3 ? option.max_length ?? 6000 : null });
    if (option.autocomplete) return [field.input, suggested(option, channelId, field)];
  }
  return [field.input];
}

const choice = (options) => el("select", {}, el("option", { value: "" }, "Choose"), options.map((one) => el("option", { value: one.value }, one.label)));

function suggested(option, channelId, field) {
  const box = el("div", { class: "suggestions", role: "listbox", "aria-label": `Suggestions for ${option.name}`, hidden: true });
  const { entry } = open;
  const list = new Suggestions(field.input, box, async (text) => {
    field.picked = null;
    const { values } = read({ forAutocomplete: true });
    const answer = await act("autocomplete", { channel_id: channelId, command_id: entry.command.id, path: entry.path,
      values: { ...values, [option.name]: text }, focused: option.name }, [], { quiet: true });
    return (answer?.choices ?? []).map((one) => ({ label: one.name, take: () => {
      field.input.value = one.name;
      field.picked = { name: one.name, value: one.value };
    } }));
  }, { delay: 120 });
  field.input.addEventListener("focus", () => list.refresh());
  return box;
}

/** -> {values, files, problem, field}: typed values, or words about the first that does not fit */
function read({ forAutocomplete = false } = {}) {
  const values = {};
  const files = [];
  for (const field of open.fields) {
    const { option, input } = field;
    if (option.type === 11) {
      if (input.files.length && !forAutocomplete) values[option.name] = { file: files.push(input.files[0]) - 1 };
    } else if (field.picked && field.picked.name === input.value) values[option.name] = field.picked.value;
    else if (input.value !== "") {
      const value = typed(option, input.value);
      if (value === null && !forAutocomplete) return { problem: `${option.name} has to be a ${KINDS[option.type]}.`, field };
      values[option.name] = value ?? input.value;
    }
    const value = values[option.name];
    if (forAutocomplete) continue;
    if (value === undefined && option.required) return { problem: `${option.name} is required.`, field };
    if (typeof value === "number" && (value < (option.min_value ?? -Infinity) || value > (option.max_value ?? Infinity))) {
      return { problem: `${option.name} has to be ${bounds(option)}.`, field };
    }
    if (option.type === 3 && value !== undefined && String(value).length < (option.min_length ?? 0)) return { problem: `${option.name} is too short: ${bounds(option)}.`, field };
  }
  return { values, files };
}

function typed(option, text) {
  if (option.type === 5) return text === "true";
  if (option.type !== 4 && option.type !== 10) return text;
  const number = Number(text.replace(",", "."));
  return Number.isFinite(number) && (option.type === 10 || Number.isInteger(number)) ? number : null;
}

async function run(problem) {
  const { values, files, problem: words, field } = read();
  if (words) {
    problem.textContent = words;
    field.input.focus();
    return;
  }
  const { entry, channelId } = open;
  closeCommand();
  await invoke(channelId, entry.command, entry.path, values, { files });
}
