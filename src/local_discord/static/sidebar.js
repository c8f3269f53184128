// Servers, categories, channels, threads, private talks; and who is here.
import { avatar, byId, el, fill } from "./dom.js";
import { openUserMenu } from "./menus.js";
import { allChannels, channelOf, personOf, serverOf, state, unread } from "./state.js";

export const SIGNS = { text: "#", news: "#", thread: "↳", dm: "@" };
const folded = new Set();

export function drawPlaces(goTo) {
  const nav = byId("places");
  const held = document.activeElement?.closest?.("#places [data-channel]")?.dataset.channel;
  fill(nav,
    el("section", { "aria-label": "Direct messages" }, el("h2", {}, "Direct messages"),
      el("ul", { role: "list" }, state.dms.map((dm) => entry(dm, goTo))),
      state.dms.length === 0 && el("p", { class: "hint" }, "None yet. Open one from a member's menu.")),
    state.servers.map((server) => drawServer(server, goTo)));
  if (held) nav.querySelector(`[data-channel="${CSS.escape(held)}"]`)?.focus();
}

function drawServer(server, goTo) {
  const loose = server.channels.filter((channel) => !channel.category_id);
  return el("section", { "aria-label": server.name },
    el("h2", {}, server.name),
    el("ul", { role: "list" }, loose.map((channel) => withThreads(channel, goTo))),
    server.categories.map((category) => drawCategory(server, category, goTo)));
}

function drawCategory(server, category, goTo) {
  const inside = server.channels.filter((channel) => channel.category_id === category.id);
  if (inside.length === 0) return null;
  const details = el("details", { open: !folded.has(category.id) }, el("summary", {}, category.name),
    el("ul", { role: "list" }, inside.map((channel) => withThreads(channel, goTo))));
  details.addEventListener("toggle", () => details.open ? folded.delete(category.id) : folded.add(category.id));
  return details;
}

function withThreads(channel, goTo) {
  const item = entry(channel, goTo);
  const threads = (channel.threads ?? []).filter((thread) => !thread.archived || thread.id === state.channelId);
  if (threads.length) item.append(el("ul", { role: "list", class: "threads" }, threads.map((t) => entry(t, goTo))));
  return item;
}

function entry(channel, goTo) {
  const { count, mentions } = unread(channel.id);
  const here = channel.id === state.channelId;
  const sign = channel.kind === "dm" ? avatar(personOf(channel.with), "small")
    : el("span", { class: "sign", "aria-hidden": "true" }, SIGNS[channel.kind] ?? "#");
  const fresh = !here && count > 0;
  return el("li", {}, el("button", {
    type: "button", class: `place ${here ? "here" : ""} ${fresh ? "fresh" : ""}`,
    "aria-current": here ? "page" : null, dataset: { channel: channel.id }, onclick: () => goTo(channel.id),
  }, sign, el("span", { class: "place-name" }, channel.name),
  channel.private && el("small", {}, "private"),
  fresh && el("span", { class: mentions ? "badge loud" : "badge" }, String(mentions || count),
    el("span", { class: "unseen" }, mentions ? " mentions" : " unread"))));
}

export function drawHead() {
  const channel = channelOf(state.channelId);
  const server = serverOf(channel);
  byId("channel-name").textContent = channel ? `${SIGNS[channel.kind] ?? "#"} ${channel.name}` : "No channel";
  const where = channel?.kind === "thread" ? `Thread in #${channelOf(channel.parent_id)?.name ?? "?"}` : "";
  byId("channel-topic").textContent = [where, channel?.topic, server?.name].filter(Boolean).join(" · ");
  byId("new-thread").hidden = !(channel?.can_thread && channel.kind !== "thread" && channel.kind !== "dm");
  const name = channel ? channel.name : "talkalike";
  const fresh = allChannels().some((other) => other.id !== state.channelId && unread(other.id).count > 0);
  document.title = `${fresh ? "• " : ""}${name}, as ${state.me?.name ?? "nobody"}: local stand-in for Discord`;
}

export function drawWho(become) {
  const select = byId("who");
  fill(select, state.users.map((user) => el("option", { value: user.id }, user.name)));
  select.value = state.me?.id ?? "";
  select.onchange = () => become(select.value);
  const other = state.users.find((user) => user.id !== state.me?.id);
  byId("second-tab").hidden = !other;
  if (other) byId("second-tab").href = `/page?as=${encodeURIComponent(other.id)}`;
}

export function drawMembers() {
  const channel = channelOf(state.channelId);
  const server = serverOf(channel);
  const ids = server ? server.members.map((member) => member.id) : channel ? [channel.with, state.me.id] : [];
  const member = (id) => server?.members.find((known) => known.id === id);
  const people = ids.map(personOf);
  const group = (title, list) => list.length > 0 && el("section", {}, el("h2", {}, `${title} (${list.length})`),
    el("ul", { role: "list" }, list.map((person) => row(person, member(person.id), server))));
  fill(byId("members"), group("Bots", people.filter((p) => p.bot)), group("People", people.filter((p) => !p.bot)));
}

function row(person, member, server) {
  const roles = (member?.roles ?? []).map((id) => server.roles.find((role) => role.id === id)?.name)
    .filter((name) => name && name !== person.name);
  if (server?.owner_id === person.id) roles.unshift("owner");
  const button = el("button", { type: "button", class: "place", "aria-haspopup": "menu" }, avatar(person, "small"),
    el("span", { class: "place-name" }, person.name, roles.length > 0 && el("small", {}, roles.join(", "))),
    person.bot && el("span", { class: "bot-mark" }, "bot"), person.id === state.me.id && el("small", {}, "you"));
  button.addEventListener("click", () => openUserMenu(person.id, button));
  button.addEventListener("contextmenu", (event) => {
    event.preventDefault();
    openUserMenu(person.id, button);
  });
  return el("li", {}, button);
}
