// Times as people write them.
import { el } from "./dom.js";

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
const shortDay = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "short" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });

export const dayName = (date) => day.format(date);
export const sameDay = (a, b) => a.toDateString() === b.toDateString();

export function stamp(date) {
  const text = sameDay(date, new Date()) ? clock.format(date) : `${shortDay.format(date)}, ${clock.format(date)}`;
  return el("time", { datetime: date.toISOString(), title: full.format(date) }, text);
}

export const shortStamp = (date) =>
  el("time", { datetime: date.toISOString(), title: full.format(date) }, clock.format(date));

const STYLES = {
  t: { timeStyle: "short" }, T: { timeStyle: "medium" }, d: { dateStyle: "short" }, D: { dateStyle: "long" },
  f: { dateStyle: "long", timeStyle: "short" }, F: { dateStyle: "full", timeStyle: "short" },
};

export function timeElement(seconds, style) {
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) return "an impossible time";
  const text = style === "R" ? ago(date) : new Intl.DateTimeFormat(undefined, STYLES[style]).format(date);
  return el("time", { class: "md-time", datetime: date.toISOString(), title: full.format(date) }, text);
}

function ago(date) {
  const seconds = (date.getTime() - Date.now()) / 1000;
  for (const [unit, size] of [["year", 31557600], ["month", 2629800], ["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (Math.abs(seconds) >= size) return relative.format(Math.round(seconds / size), unit);
  }
  return relative.format(Math.round(seconds), "second");
}
