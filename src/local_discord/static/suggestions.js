// A list of suggestions below or above an input (the ARIA combobox pattern): arrows move, Enter or Tab takes, Esc closes.
import { composing, el, fill, freshId } from "./dom.js";

export class Suggestions {
  /** input: a text field; box: an element with role=listbox. ask(text, caret) -> [{label, note, detail, take()}], may be async. */
  constructor(input, box, ask, { delay = 0 } = {}) {
    Object.assign(this, { input, box, ask, delay, items: [], at: -1, turn: 0 });
    box.id ||= freshId("suggestions");
    input.setAttribute("role", "combobox");
    input.setAttribute("aria-autocomplete", "list");
    input.setAttribute("aria-expanded", "false");
    input.setAttribute("aria-controls", box.id);
    input.addEventListener("input", () => this.later());
    input.addEventListener("blur", () => this.close());
    input.addEventListener("keydown", (event) => this.key(event));
  }

  get open() {
    return !this.box.hidden && this.items.length > 0;
  }

  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.refresh(), this.delay);
  }

  async refresh() {
    const turn = ++this.turn;
    const items = await this.ask(this.input.value, this.input.selectionStart ?? 0);
    if (turn === this.turn && document.activeElement === this.input) this.show(items ?? []);
  }

  show(items) {
    this.items = items;
    this.at = items.length ? 0 : -1;
    fill(this.box, items.map((item, index) => {
      const option = el("div", { role: "option", id: `${this.box.id}-${index}`, class: "suggestion" },
        el("span", { class: "suggestion-label" }, item.label), item.detail && el("span", { class: "suggestion-detail" }, item.detail),
        item.note && el("small", {}, item.note));
      option.addEventListener("pointerdown", (event) => {
        event.preventDefault(); // the input keeps the focus
        this.take(index);
      });
      return option;
    }));
    this.box.hidden = items.length === 0;
    this.input.setAttribute("aria-expanded", String(items.length > 0));
    this.mark();
  }

  mark() {
    [...this.box.children].forEach((option, index) => {
      option.setAttribute("aria-selected", String(index === this.at));
      if (index === this.at) option.scrollIntoView({ block: "nearest" });
    });
    if (this.at >= 0) this.input.setAttribute("aria-activedescendant", `${this.box.id}-${this.at}`);
    else this.input.removeAttribute("aria-activedescendant");
  }

  take(index) {
    const item = this.items[index];
    this.close();
    item?.take();
  }

  close() {
    clearTimeout(this.timer);
    this.turn += 1;
    this.show([]);
  }

  key(event) {
    if (!this.open || composing(event)) return;
    const count = this.items.length;
    if (event.key === "ArrowDown") this.at = (this.at + 1) % count;
    else if (event.key === "ArrowUp") this.at = (this.at - 1 + count) % count;
    else if (event.key === "Escape") this.close();
    else if ((event.key === "Enter" && !event.shiftKey) || event.key === "Tab") this.take(this.at);
    else return;
    event.preventDefault();
    event.stopImmediatePropagation();
    this.mark();
  }
}
