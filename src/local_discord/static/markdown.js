// Chat markdown -> a tree of plain values; markdown_view.js makes elements of it.
// Inline: {kind, children|text|...}; blocks: {kind: "paragraph"|"code"|"quote"|"heading"|"small"|"list", ...}

const MAX_DEPTH = 8;

export function parse(text, depth = 0) {
  const blocks = [];
  const fence = /```(?:([\w+#.-]{1,20})\n)?([\s\S]*?)```/g;
  let from = 0;
  for (let found = fence.exec(text); found; found = fence.exec(text)) {
    if (!found[2].trim()) continue;
    blocks.push(...parseLines(text.slice(from, found.index).replace(/\n$/, ""), depth));
    blocks.push({ kind: "code", language: found[1] ?? "", text: found[2].replace(/^\n|\n$/g, "") });
    from = found.index + found[0].length;
    if (text[from] === "\n") from += 1;
  }
  blocks.push(...parseLines(text.slice(from), depth));
  return blocks;
}

function parseLines(text, depth) {
  const blocks = [];
  if (!text) return blocks;
  const lines = text.split("\n");
  let paragraph = [];
  const flush = () => {
    if (paragraph.length) blocks.push({ kind: "paragraph", children: inline(paragraph.join("\n")) });
    paragraph = [];
  };
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at];
    const heading = /^(#{1,3}) +(\S.*)$/.exec(line);
    const small = /^-# +(\S.*)$/.exec(line);
    if (line.startsWith(">>> ") && depth < MAX_DEPTH) {
      flush();
      const rest = [line.slice(4), ...lines.slice(at + 1)].join("\n");
      blocks.push({ kind: "quote", children: parseLines(rest, depth + 1) });
      break;
    } else if (/^> /.test(line) && depth < MAX_DEPTH) {
      flush();
      const quoted = [];
      while (at < lines.length && /^> ?/.test(lines[at])) quoted.push(lines[at++].replace(/^> ?/, ""));
      at -= 1;
      blocks.push({ kind: "quote", children: parseLines(quoted.join("\n"), depth + 1) });
    } else if (heading) {
      flush();
      blocks.push({ kind: "heading", level: heading[1].length, children: inline(heading[2]) });
    } else if (small) {
      flush();
      blocks.push({ kind: "small", children: inline(small[1]) });
    } else if (LIST_LINE.test(line)) {
      flush();
      const items = [];
      const kind = ordered(line);
      while (at < lines.length && LIST_LINE.test(lines[at]) && (ordered(lines[at]) === kind || lines[at][0] === " ")) items.push(lines[at++]);
      at -= 1;
      blocks.push(list(items));
    } else paragraph.push(line);
  }
  flush();
  return blocks;
}

const LIST_LINE = /^( *)([-*]|\d{1,9}\.) +(\S.*)$/;

const ordered = (line) => /\d/.test(LIST_LINE.exec(line)[2]);

function list(lines) {
  const [, , sign] = LIST_LINE.exec(lines[0]);
  const items = lines.map((line) => {
    const [, indent, , rest] = LIST_LINE.exec(line);
    return { level: Math.min(Math.floor(indent.length / 2), 4), children: inline(rest) };
  });
  const numbered = ordered(lines[0]);
  return { kind: "list", ordered: numbered, start: numbered ? parseInt(sign, 10) : 1, items };
}

// ----------------------------------------------------------------------------------------------------------- inline
// Each rule looks at the text from one place on, and is anchored there (sticky), so no rule scans ahead for its start.
const PAIRS = [
  ["||", "spoiler"],
  ["***", "bold-italic"],
  ["**", "bold"],
  ["__", "underline"],
  ["~~", "strike"],
  ["*", "italic"],
  ["_", "italic"],
];

const RULES = [
  [/\\([\\*_~`|>#[\]()<:@.-])/y, (m) => ({ kind: "text", text: m[1] })],
  [/``([^\n]+?)``(?!`)/y, (m) => ({ kind: "inline-code", text: m[1] })],
  [/`([^`\n]+)`/y, (m) => ({ kind: "inline-code", text: m[1] })],
  [/<@!?(\d{1,20})>/y, (m) => ({ kind: "user", id: m[1] })],
  [/<@&(\d{1,20})>/y, (m) => ({ kind: "role", id: m[1] })],
  [/<#(\d{1,20})>/y, (m) => ({ kind: "channel", id: m[1] })],
  [/@(everyone|here)\b/y, (m) => ({ kind: "everyone", text: m[0] })],
  [/<\/([\w -]{1,100}):(\d{1,20})>/y, (m) => ({ kind: "command", name: m[1] })],
  [/<a?:(\w{1,32}):\d{1,20}>/y, (m) => ({ kind: "text", text: `:${m[1]}:` })],
  [/<t:(-?\d{1,13})(?::([tTdDfFR]))?>/y, (m) => ({ kind: "time", seconds: Number(m[1]), style: m[2] ?? "f" })],
  [/<(https?:\/\/[^\s<>]{1,1900})>/y, (m) => ({ kind: "link", url: m[1] })],
  [/\[([^\]\n]{1,500})\]\(<?(https?:\/\/[^\s()<>]{1,1900}(?:\([^\s()<>]*\)[^\s()<>]*)?)>?\)/y,
    (m) => ({ kind: "masked", label: m[1], url: m[2] })],
  [/https?:\/\/[^\s<>]{1,1900}/y, (m) => bareLink(m[0])],
];

function bareLink(found) {
  let url = found.replace(/[.,:;!?'"*_~|]+$/, "");
  while (url.endsWith(")") && url.split(")").length > url.split("(").length) url = url.slice(0, -1);
  return { kind: "link", url, length: url.length };
}

export function inline(text, depth = 0) {
  const out = [];
  let plain = "";
  const put = (token) => {
    if (plain) out.push({ kind: "text", text: plain });
    plain = "";
    out.push(token);
  };
  let at = 0;
  while (at < text.length) {
    const special = text.slice(at).search(/[\\`<@[*_~|h]/);
    if (special < 0) break;
    plain += text.slice(at, at + special);
    at += special;
    const found = ruleAt(text, at) ?? (depth < MAX_DEPTH ? pairAt(text, at, depth) : null);
    if (found) {
      put(found.token);
      at += found.length;
    } else plain += text[at++];
  }
  plain += text.slice(at);
  if (plain) out.push({ kind: "text", text: plain });
  return out;
}

function ruleAt(text, at) {
  for (const [pattern, make] of RULES) {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (!match) continue;
    const token = make(match);
    return { token, length: token.length ?? match[0].length };
  }
  return null;
}

function pairAt(text, at, depth) {
  for (const [sign, kind] of PAIRS) {
    if (!text.startsWith(sign, at)) continue;
    const from = at + sign.length;
    const end = closing(text, from, sign, at);
    if (end < 0) continue;
    const children = inline(text.slice(from, end), depth + 1);
    const token = kind === "bold-italic" ? { kind: "bold", children: [{ kind: "italic", children }] } : { kind, children };
    return { token, length: end + sign.length - at };
  }
  return null;
}

/** Where `sign` ends again: not empty, not in code, and single signs tight against a word. -> index or -1 */
function closing(text, from, sign, at) {
  const single = sign.length === 1;
  if (single && /\s/.test(text[from] ?? " ")) return -1;
  if (sign === "_" && /[\p{L}\p{N}]/u.test(text[at - 1] ?? "")) return -1;
  for (let end = from; end < text.length; end += 1) {
    if (text[end] === "\\") end += 1;
    else if (text[end] === "`") {
      const close = text.indexOf("`", end + 1);
      if (close > 0) end = close;
    } else if (text.startsWith(sign, end) && end > from) {
      if (single && text[end + 1] === sign) {
        end += 1; // a doubled sign inside: it belongs to something else
        continue;
      }
      if (single && /\s/.test(text[end - 1])) continue;
      if (sign === "_" && /[\p{L}\p{N}]/u.test(text[end + 1] ?? "")) continue;
      return end;
    }
  }
  return -1;
}
