// @names and #channels as people type them <-> the <@id> forms of the wire.
import { channelOf, personOf, serverOf, state } from "./state.js";

function known(channelId) {
  const channel = channelOf(channelId);
  const server = serverOf(channel);
  if (!channel) return [];
  const people = server ? server.members.map((member) => personOf(member.id)) : [personOf(channel.with), state.me];
  const found = people.map((person) => ({ shown: `@${person.name}`, wire: `<@${person.id}>`, detail: person.bot ? "bot" : "" }));
  if (server) {
    for (const role of server.roles) if (role.id !== server.id) found.push({ shown: `@${role.name}`, wire: `<@&${role.id}>`, detail: "role" });
    for (const other of server.channels) {
      found.push({ shown: `#${other.name}`, wire: `<#${other.id}>`, detail: "" });
      for (const thread of other.threads ?? []) found.push({ shown: `#${thread.name}`, wire: `<#${thread.id}>`, detail: "thread" });
    }
  }
  return found.sort((a, b) => b.shown.length - a.shown.length);
}

/** "hello @Anna" -> "hello <@123>": whole names only, the longest first. */
export function toWire(text, channelId) {
  const names = known(channelId);
  let out = "";
  for (let at = 0; at < text.length; at += 1) {
    const sign = text[at];
    const begins = (sign === "@" || sign === "#") && !/[\p{L}\p{N}<]/u.test(text[at - 1] ?? "");
    const name = begins ? names.find((n) => text.startsWith(n.shown, at) && !/[\p{L}\p{N}_]/u.test(text[at + n.shown.length] ?? "")) : null;
    if (name) {
      out += name.wire;
      at += name.shown.length - 1;
    } else out += sign;
  }
  return out;
}

export function fromWire(text, channelId) {
  const names = new Map(known(channelId).map((name) => [name.wire, name.shown]));
  return text.replace(/<(?:@!?|@&|#)\d{1,20}>/g, (found) => names.get(found.replace("<@!", "<@")) ?? found);
}

/** For a word begun with @ or # right before the caret. -> [{shown, detail, from}] */
export function matching(text, caret, channelId) {
  const begun = /(^|\s)([@#][^\s@#]{0,40})$/.exec(text.slice(0, caret));
  if (!begun) return [];
  const word = begun[2].toLowerCase();
  const found = known(channelId).filter((name) => name.shown[0] === word[0] && name.shown.toLowerCase().includes(word.slice(1)));
  found.sort((a, b) => Number(b.shown.toLowerCase().startsWith(word)) - Number(a.shown.toLowerCase().startsWith(word)) || a.shown.localeCompare(b.shown));
  if (found.length === 1 && found[0].shown.toLowerCase() === word) return []; // all there: Enter sends
  return found.slice(0, 8).map((name) => ({ ...name, from: caret - begun[2].length }));
}
