// Puts the page together: events in, views out, and moving between channels and people.
import { bus } from "./bus.js";
import { act, connect } from "./connection.js";
import { drawComposer, insert, setUpComposer, startEdit, startReply } from "./composer.js";
import { byId, trouble } from "./dom.js";
import { ask, openModal } from "./modals.js";
import { drawMessages, drawTyping, forgetDrawn, newMessage, openedChannel, setUpMessages } from "./messages.js";
import { drawHead, drawMembers, drawPlaces, drawWho } from "./sidebar.js";
import {
  allChannels, changed, channelOf, dropMessage, markRead, messagesOf, noteTyping, onChange, putMessage, putOlder, state,
  takePlaces, takeSnapshot, unread,
} from "./state.js";

let awaited = null;

function onEvent(event) {
  switch (event.t) {
    case "snapshot":
      takeSnapshot(event);
      forgetDrawn();
      chooseChannel();
      break;
    case "places":
      takePlaces(event);
      if (awaited && channelOf(awaited)) goTo(awaited);
      else if (!channelOf(state.channelId)) chooseChannel();
      break;
    case "message":
      if (putMessage(event.message) && event.fresh) newMessage(event.message);
      break;
    case "batch": // a place that came into view
      putOlder(event.channel_id, event.messages, event.complete);
      break;
    case "gone":
      for (const id of event.ids) dropMessage(event.channel_id, id);
      break;
    case "typing":
      noteTyping(event.channel_id, event.user_id);
      break;
    case "answered":
      state.pending.delete(event.interaction_id);
      changed("messages");
      break;
    case "modal":
      state.pending.delete(event.interaction_id);
      changed("messages");
      openModal(event);
      break;
    case "nobody":
      byId("channel-name").textContent = "Nobody to be yet";
      break;
    default:
  }
}

function draw(parts) {
  if (parts.has("all") || parts.has("places")) {
    drawWho(become);
    drawMembers();
    drawComposer();
    forgetDrawn();
  }
  if (parts.has("all") || parts.has("places") || parts.has("unread")) {
    drawPlaces(goTo);
    drawHead();
  }
  if (parts.has("all") || parts.has("messages")) drawMessages();
  drawTyping();
}

const channelKey = () => `talkalike.channel.${state.me?.id}`;

function chooseChannel() {
  const channels = allChannels();
  const last = sessionStorage.getItem(channelKey());
  const wanted = channels.find((channel) => channel.id === last) ?? channels.find((c) => c.kind === "text" && c.can_send) ?? channels[0];
  goTo(wanted?.id ?? null, { focus: false });
}

function goTo(channelId, { focus = true } = {}) {
  if (channelId && !channelOf(channelId)) {
    awaited = channelId; // made a moment ago: the news of it is on its way
    setTimeout(() => awaited === channelId && trouble("You cannot see that place as this person."), 3000);
    return;
  }
  awaited = null;
  const firstUnread = channelId ? unread(channelId).first : null;
  state.channelId = channelId;
  openedChannel(firstUnread);
  if (channelId) {
    sessionStorage.setItem(channelKey(), channelId);
    markRead(channelId);
  }
  toggle("places", false);
  changed("all");
  if (focus) setTimeout(() => byId("write").focus());
}

function become(userId) {
  sessionStorage.setItem("talkalike.who", userId);
  history.replaceState(null, "", `/page?as=${encodeURIComponent(userId)}`);
  connect(userId, onEvent);
}

function toggle(id, to) {
  const part = byId(id);
  const opener = byId(`${id}-toggle`);
  const show = to ?? opener.getAttribute("aria-expanded") !== "true";
  opener.setAttribute("aria-expanded", String(show));
  part.classList.toggle("shown", show);
  if (id === "members") part.hidden = !show;
}

async function loadOlder() {
  const channelId = state.channelId;
  const first = messagesOf(channelId)[0];
  if (!first) return;
  const height = byId("scroller").scrollHeight;
  const answer = await act("history", { channel_id: channelId, before: first.id });
  if (!answer) return;
  putOlder(channelId, answer.messages, answer.complete);
  await Promise.resolve();
  requestAnimationFrame(() => {
    byId("scroller").scrollTop += byId("scroller").scrollHeight - height;
  });
}

function step(by) {
  const ids = [...document.querySelectorAll("#places [data-channel]")].map((button) => button.dataset.channel);
  const at = ids.indexOf(state.channelId);
  if (ids.length) goTo(ids[(at + by + ids.length) % ids.length]);
}

function setUp() {
  Object.assign(bus, { goTo, become, reply: startReply, edit: startEdit, insert });
  onChange(draw);
  setUpMessages();
  setUpComposer();
  byId("places-toggle").addEventListener("click", () => toggle("places"));
  byId("members-toggle").addEventListener("click", () => toggle("members"));
  byId("older").addEventListener("click", loadOlder);
  byId("new-thread").addEventListener("click", () => ask("New thread", "Name of the thread", async (name) => {
    const made = await act("create_thread", { channel_id: state.channelId, name });
    if (made) goTo(made.channel_id);
  }, { button: "Create" }));
  document.addEventListener("click", (event) => {
    const target = event.target.closest("[data-goto]");
    if (target) goTo(target.dataset.goto);
  });
  document.addEventListener("keydown", (event) => {
    if (event.altKey && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
      event.preventDefault();
      step(event.key === "ArrowDown" ? 1 : -1);
    } else if (event.key === "Escape" && !event.defaultPrevented && !document.querySelector("dialog[open]")) {
      toggle("places", false);
      if (event.target.closest?.("#messages, #places, #members")) byId("write").focus();
    }
  });
  addEventListener("focus", () => state.channelId && markRead(state.channelId));
  if (innerWidth > 1100) toggle("members", true);
  const asked = new URLSearchParams(location.search).get("as") ?? sessionStorage.getItem("talkalike.who") ?? "";
  connect(asked, onEvent);
}

setUp();
