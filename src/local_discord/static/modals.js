// The forms a bot opens (modals), and the page's own small ones.
import { act } from "./connection.js";
import { dialog, el, freshId } from "./dom.js";
import { checkBoxes, checkedIn, optionsOf, optionText, told } from "./components.js";
import { markdown } from "./markdown_view.js";
import { state } from "./state.js";

export function openModal({ interaction_id: interactionId, title, components, channel_id: channelId }) {
  const fields = []; // {id, read(files to send) -> value, check?(value) -> problem}
  dialog(title, (close) => {
    const problem = el("p", { class: "problem", role: "alert" });
    const parts = components.map((part) => modalPart(part, channelId ?? state.channelId, fields));
    return el("form", { class: "stack", onsubmit: async (event) => {
      event.preventDefault();
      const values = {};
      const files = [];
      for (const field of fields) {
        values[field.id] = field.read(files);
        const wrong = field.check?.(values[field.id]);
        if (wrong) {
          problem.textContent = wrong;
          return;
        }
      }
      const sending = act("submit_modal", { interaction_id: interactionId, values }, files);
      close(); // a form is sent once
      await told(sending);
    } }, el("p", { class: "hint" }, "The bot asks for this. Do not write passwords here."), parts, problem,
    el("div", { class: "row end" }, el("button", { type: "button", onclick: close }, "Cancel"),
      el("button", { type: "submit", class: "main-button" }, "Submit")));
  });
}

function modalPart(part, channelId, fields, label = null) {
  switch (part.type) {
    case 1:
      return (part.components ?? []).map((child) => modalPart(child, channelId, fields, label));
    case 10:
      return el("div", { class: "text" }, markdown(part.content));
    case 18:
      return modalPart(part.component, channelId, fields, part);
    case 4:
      return textField(part, fields, label);
    case 3: case 5: case 6: case 7: case 8: case 21: case 22:
      return choiceField(plainChoice(part), channelId, fields, label);
    case 19:
      return fileField(part, fields, label);
    case 23:
      return checkField(part, fields, label);
    default:
      return el("p", { class: "hint" }, `(a field of kind ${part.type}, which this page does not know)`);
  }
}

/** Radio and check groups (21, 22) are a select of their own options. */
function plainChoice(part) {
  if (part.type <= 8) return part;
  const single = part.type === 21;
  return { ...part, type: 3, single, max_values: single ? 1 : part.max_values ?? part.options?.length };
}

function labelled(input, text, { required, description }) {
  input.id ||= freshId("field");
  const hint = description && el("small", { id: `${input.id}-hint` }, description);
  if (hint) input.setAttribute("aria-describedby", hint.id);
  return el("div", { class: "field" }, el("label", { for: input.id }, text, required && el("span", { class: "must" }, " (required)")), hint, input);
}

function textField(part, fields, label) {
  const required = part.required !== false;
  const props = { required, minlength: part.min_length, maxlength: part.max_length ?? 4000, placeholder: part.placeholder, value: part.value ?? "" };
  const input = part.style === 2 ? el("textarea", { rows: 5, ...props }) : el("input", { type: "text", ...props });
  fields.push({ id: part.custom_id, read: () => input.value });
  return labelled(input, label?.label ?? part.label ?? part.custom_id, { required, description: label?.description });
}

function choiceField(part, channelId, fields, label) {
  const required = part.required !== false;
  const options = optionsOf(part, channelId);
  const text = label?.label ?? part.placeholder ?? "Choose";
  if ((part.max_values ?? 1) > 1) {
    const boxes = checkBoxes(part, options);
    const least = required ? Math.max(1, part.min_values ?? 1) : 0;
    fields.push({ id: part.custom_id, read: () => checkedIn(boxes),
      check: (values) => values.length < least || values.length > part.max_values ? `${text}: choose ${least} to ${part.max_values}.` : "" });
    return el("fieldset", {}, el("legend", {}, text), label?.description && el("small", {}, label.description), boxes);
  }
  const input = el("select", { required }, el("option", { value: "" }, part.placeholder ?? "Choose"),
    options.map((option) => el("option", { value: option.value }, optionText(option))));
  input.value = options.find((option) => option.default)?.value ?? "";
  fields.push({ id: part.custom_id, read: () => (part.single ? input.value || null : input.value ? [input.value] : []) });
  return labelled(input, text, { required, description: label?.description });
}

function fileField(part, fields, label) {
  const required = part.required !== false;
  const most = part.max_values ?? 1;
  const input = el("input", { type: "file", required, multiple: most > 1 });
  const text = label?.label ?? "File";
  fields.push({ id: part.custom_id, read: (files) => [...input.files].map((file) => ({ file: files.push(file) - 1 })),
    check: (chosen) => chosen.length > most ? `${text}: choose at most ${most}.` : "" });
  return labelled(input, text, { required, description: label?.description });
}

function checkField(part, fields, label) {
  const input = el("input", { type: "checkbox", checked: part.default });
  fields.push({ id: part.custom_id, read: () => input.checked });
  return labelled(input, label?.label ?? "Yes", { required: false, description: label?.description });
}

/** One line from the person: a thread's name and the like. */
export function ask(title, label, then, { value = "", button = "OK", maxlength = 100 } = {}) {
  dialog(title, (close) => {
    const input = el("input", { type: "text", required: true, maxlength, value, id: freshId("ask") });
    return el("form", { class: "stack", onsubmit: (event) => {
      event.preventDefault();
      if (!input.value.trim()) return;
      close();
      then(input.value.trim());
    } }, el("label", { for: input.id }, label), input,
    el("div", { class: "row end" }, el("button", { type: "submit", class: "main-button" }, button)));
  }).querySelector("input").focus();
}

export function confirmFirst(title, text, button, then) {
  dialog(title, (close) => el("form", { class: "stack", onsubmit: (event) => {
    event.preventDefault();
    close();
    then();
  } }, el("p", {}, text), el("div", { class: "row end" }, el("button", { type: "button", onclick: close }, "Cancel"),
    el("button", { type: "submit", class: "main-button danger", autofocus: true }, button))));
}
