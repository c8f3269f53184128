// What this page knows, and how events change it. Ids are strings: they do not fit a JavaScript number.

export const state = {
  me: null, // {id, name, color}
  users: [], // everybody one can be
  people: new Map(), // id -> {id, name, color, bot}
  servers: [], // [{id, name, roles, members, categories, channels: [{..., threads: []}]}]
  dms: [], // [{id, name, with}]
  channelId: null,
  messages: new Map(), // channel id -> messages, oldest first
  complete: new Set(), // channels whose oldest message is here
  typing: new Map(), // channel id -> Map(user id -> until when)
  commands: new Map(), // channel id -> commands, asked for when first needed
  pending: new Map(), // interaction id -> {channel_id, text, at}: sent, nothing back yet
  dismissed: new Set(), // private messages put away
};

const listeners = new Set();
export const onChange = (listener) => listeners.add(listener);
let queued = new Set();

/** Tell the views that these parts changed: once per frame, however many events came in. */
export function changed(...parts) {
  if (queued.size === 0) {
    queueMicrotask(() => {
      const now = queued;
      queued = new Set();
      for (const listener of listeners) listener(now);
    });
  }
  for (const part of parts) queued.add(part);
}

export const older = (a, b) => (a.length === b.length ? a < b : a.length < b.length);
const compare = (a, b) => (a.id === b.id ? 0 : older(a.id, b.id) ? -1 : 1);

export function allChannels() {
  const found = [];
  for (const server of state.servers) {
    for (const channel of server.channels) found.push(channel, ...(channel.threads ?? []));
  }
  return [...found, ...state.dms];
}

export const channelOf = (id) => allChannels().find((channel) => channel.id === id) ?? null;
export const serverOf = (channel) => state.servers.find((server) => server.id === channel?.server_id) ?? null;
export const personOf = (id) => state.people.get(id) ?? { id, name: `someone (${id})`, color: "" };
export const messagesOf = (channelId) => state.messages.get(channelId) ?? [];
export const findMessage = (channelId, id) => messagesOf(channelId).find((message) => message.id === id);

export function takeSnapshot(snapshot) {
  takePlaces(snapshot);
  state.messages = new Map(
    Object.entries(snapshot.messages).map(([channel, list]) => [channel, list.slice().sort(compare)]));
  state.complete = new Set(snapshot.complete ?? []);
  state.typing.clear();
  state.pending.clear();
  for (const message of [...state.messages.values()].flat()) notePeople(message);
  changed("all");
}

export function takePlaces({ me, users, people, servers, dms }) {
  state.me = me;
  state.users = users;
  state.people = new Map(people.map((person) => [person.id, person]));
  state.servers = servers;
  state.dms = dms;
  state.commands.clear();
  changed("places", "messages");
}

function notePeople(message) {
  const author = message.author;
  if (author && !state.people.has(author.id)) {
    state.people.set(author.id, { id: author.id, name: author.name, color: author.color ?? "", bot: author.bot });
  }
}

/** Answers show the message they quote as it is now. */
const requoted = (list, id, news) =>
  list.map((message) => (message.reply?.id === id ? { ...message, reply: { ...message.reply, ...news } } : message));

export function putMessage(message) {
  notePeople(message);
  const list = messagesOf(message.channel_id).slice();
  const at = list.findIndex((known) => known.id === message.id);
  const isNew = at < 0;
  if (isNew) list.push(message);
  else list[at] = message;
  if (isNew) list.sort(compare);
  state.messages.set(message.channel_id, isNew ? list : requoted(list, message.id, { content: message.content.slice(0, 200) }));
  state.typing.get(message.channel_id)?.delete(message.author?.id);
  if (message.interaction?.id) state.pending.delete(message.interaction.id);
  changed("messages", "unread");
  return isNew;
}

export function dropMessage(channelId, id) {
  const left = messagesOf(channelId).filter((message) => message.id !== id);
  state.messages.set(channelId, requoted(left, id, { gone: true }));
  changed("messages", "unread");
}

export function putOlder(channelId, batch, complete) {
  const known = new Set(messagesOf(channelId).map((message) => message.id));
  const list = [...batch.filter((message) => !known.has(message.id)), ...messagesOf(channelId)].sort(compare);
  for (const message of batch) notePeople(message);
  state.messages.set(channelId, list);
  if (complete) state.complete.add(channelId);
  changed("messages");
}

export function noteTyping(channelId, userId) {
  if (userId === state.me?.id) return;
  if (!state.typing.has(channelId)) state.typing.set(channelId, new Map());
  state.typing.get(channelId).set(userId, Date.now() + 10000);
  changed("typing");
  setTimeout(() => changed("typing"), 10100);
}

export function typingIn(channelId) {
  const now = Date.now();
  return [...(state.typing.get(channelId) ?? [])].filter(([, until]) => until > now).map(([id]) => personOf(id).name);
}

// ------------------------------------------------------------------------------------------------ read and unread
const readKey = () => `talkalike.read.${state.me?.id}`;

function readMarks() {
  try {
    return JSON.parse(localStorage.getItem(readKey()) ?? "{}");
  } catch {
    return {};
  }
}

export function markRead(channelId) {
  const last = messagesOf(channelId).at(-1);
  const marks = readMarks();
  if (!last || marks[channelId] === last.id) return;
  marks[channelId] = last.id;
  try {
    localStorage.setItem(readKey(), JSON.stringify(marks));
  } catch {
    // a full or forbidden storage only costs the unread marks
  }
  changed("unread");
}

/** -> {count, mentions, first} of what others wrote here since this person last looked; first: null if never */
export function unread(channelId) {
  const known = readMarks()[channelId];
  const mark = known ?? "0";
  const fresh = messagesOf(channelId).filter((m) => older(mark, m.id) && m.author?.id !== state.me?.id);
  const named = fresh.filter((m) => m.mentions_me);
  return { count: fresh.length, mentions: named.length, first: known ? fresh[0]?.id ?? null : null };
}
