// The commands bots have registered for the place one is in, and calling them.
import { act } from "./connection.js";
import { freshId, trouble } from "./dom.js";
import { changed, state } from "./state.js";

const FRESH_MS = 5000;

/** Commands of a channel, asked for again after some seconds: a bot may have registered new ones. */
export async function commandsHere(channelId) {
  const known = state.commands.get(channelId);
  if (known && Date.now() - known.at < FRESH_MS) return known.list;
  const answer = await act("commands", { channel_id: channelId }, [], { quiet: true });
  const list = (answer?.commands ?? []).map((command) => ({ ...command, bot: command.application?.name ?? "bot" }));
  state.commands.set(channelId, { at: Date.now(), list });
  return list;
}

/** Slash commands with their subcommands laid out flat. -> [{command, path: ["group", "name"], title, description, options}] */
export function flatten(commands) {
  const found = [];
  const visit = (command, path, node) => {
    const inner = (node.options ?? []).filter((option) => option.type === 1 || option.type === 2);
    if (inner.length === 0) {
      found.push({ command, path, title: [command.name, ...path].join(" "), description: node.description, options: node.options ?? [] });
    }
    for (const option of inner) visit(command, [...path, option.name], option);
  };
  for (const command of commands) if ((command.type ?? 1) === 1) visit(command, [], command);
  return found;
}

/** Calls a command and shows that it is under way until the bot has answered, or has not. */
export async function invoke(channelId, command, path, values, { targetId = null, files = [] } = {}) {
  const waiting = freshId("sent");
  const title = `${(command.type ?? 1) === 1 ? "/" : ""}${[command.name, ...path].join(" ")}`;
  state.pending.set(waiting, { channel_id: channelId, text: `${title}: sent to ${command.bot}…` });
  changed("messages");
  const result = await act("invoke", { channel_id: channelId, command_id: command.id, path, values, target_id: targetId }, files);
  state.pending.delete(waiting);
  changed("messages");
  if (result && !result.answered) trouble(`${command.bot} did not answer ${title} in time.`);
}
