// Under the words of a message: files, embeds, reactions.
import { el, outside, safeUrl } from "./dom.js";
import { act } from "./connection.js";
import { pickEmoji } from "./emoji.js";
import { markdown, markdownLine } from "./markdown_view.js";
import { channelOf } from "./state.js";
import { stamp } from "./times.js";

const PREVIEW_BYTES = 6000;
const LOOPBACK = new Set(["127.0.0.1", "localhost", "[::1]"]);
const TEXTUAL = /^(text\/|application\/(json|xml|yaml|toml|x-sh|javascript))|\.(txt|md|log|csv|json|ya?ml|toml|py|js|ts|c|h|rs|go|sh|ini|cfg)$/i;

export const fileSize = (bytes) =>
  bytes < 1024 ? `${bytes} ${bytes === 1 ? "byte" : "bytes"}` : bytes < 1048576 ? `${(bytes / 1024).toFixed(1)} KB` : `${(bytes / 1048576).toFixed(1)} MB`;

/** Only what this computer serves is loaded. */
export function localUrl(text) {
  try {
    const url = new URL(text, location.origin);
    const here = url.host === location.host || (LOOPBACK.has(url.hostname) && url.port === location.port);
    return here && url.protocol === location.protocol ? url.pathname + url.search : null;
  } catch {
    return null;
  }
}

export const attachments = (message) =>
  message.attachments.length > 0 && el("ul", { class: "files", role: "list" }, message.attachments.map((file) => el("li", {}, attachment(file))));

function attachment(file) {
  const url = localUrl(file.url);
  const isImage = /^image\/(png|jpe?g|gif|webp|avif|bmp)$/.test(file.type ?? "");
  if (isImage && url) return picture(url, file.description || file.name, file);
  const row = el("div", { class: "file" }, el("span", { class: "file-sign", "aria-hidden": "true" }, "▤"),
    el("a", { href: url, download: file.name }, file.name), el("small", {}, fileSize(file.size)));
  if (!url || !(TEXTUAL.test(file.type ?? "") || TEXTUAL.test(file.name))) return row;
  return el("div", {}, row, preview(url, file));
}

function picture(url, alt, file = {}) {
  const image = el("img", { src: url, alt, loading: "lazy", width: file.width, height: file.height });
  if (file.name?.startsWith("SPOILER_")) {
    const cover = el("button", { type: "button", class: "covered", onclick: () => cover.replaceWith(whole) }, "Spoiler picture: show");
    const whole = el("a", { class: "picture", href: url, target: "_blank", rel: "noopener" }, image);
    return cover;
  }
  return el("a", { class: "picture", href: url, target: "_blank", rel: "noopener", "aria-label": `${alt}, open the picture` }, image);
}

function preview(url, file) {
  const body = el("pre", { tabindex: "0", "aria-label": `Beginning of ${file.name}` });
  const details = el("details", { class: "preview" }, el("summary", {}, "Preview"), body);
  details.addEventListener("toggle", async () => {
    if (!details.open || body.textContent) return;
    try {
      const text = await (await fetch(url)).text();
      body.textContent = text.slice(0, PREVIEW_BYTES) + (text.length > PREVIEW_BYTES ? "\n…" : "");
    } catch {
      body.textContent = "The file cannot be read.";
    }
  });
  return details;
}

// ------------------------------------------------------------------------------------------------------------ embeds
export const embeds = (message) => (message.embeds ?? []).map(embed);

function embed(data) {
  const href = data.url && safeUrl(data.url);
  const title = data.title && el("p", { class: "embed-title" }, href ? outside(href, markdownLine(data.title)) : markdownLine(data.title));
  const node = el("article", { class: "embed", "aria-label": data.title ? `Embed: ${data.title}` : "Embed" },
    data.author?.name && el("p", { class: "embed-author" }, data.author.name), title,
    data.description && el("div", { class: "text" }, markdown(data.description)),
    data.fields?.length > 0 && el("dl", {}, data.fields.map((field) =>
      el("div", { class: field.inline ? "inline" : "" }, el("dt", {}, markdownLine(field.name)), el("dd", {}, markdown(field.value))))),
    data.image?.url && embedPicture(data.image), data.thumbnail?.url && embedPicture(data.thumbnail),
    (data.footer?.text || data.timestamp) && el("p", { class: "embed-footer" }, data.footer?.text ?? "",
      data.footer?.text && data.timestamp ? " · " : "", data.timestamp && stamp(new Date(data.timestamp))));
  if (Number.isInteger(data.color)) node.style.setProperty("--edge", `#${(data.color & 0xffffff).toString(16).padStart(6, "0")}`);
  return node;
}

export function embedPicture({ url, description }) {
  const local = localUrl(url);
  if (local) return picture(local, description || "Picture");
  const href = safeUrl(url);
  return href ? el("p", { class: "hint" }, "Picture elsewhere, not loaded: ", outside(href, href)) : null;
}

// --------------------------------------------------------------------------------------------------------- reactions
export function reactions(message) {
  if (!message.reactions.length) return null;
  const mayReact = channelOf(message.channel_id)?.can_react !== false && !message.ephemeral;
  const plus = el("button", { type: "button", class: "reaction plus", "aria-label": "Add a reaction", "aria-haspopup": "dialog" }, "+");
  plus.addEventListener("click", () => pickEmoji(plus, (emoji) => act("react", { message_id: message.id, emoji })));
  return el("ul", { class: "reactions", role: "list", "aria-label": "Reactions" },
    message.reactions.map(({ emoji, key, count, mine }) => el("li", {}, el("button", {
      type: "button", class: mine ? "reaction mine" : "reaction", "aria-pressed": String(mine), disabled: !mayReact && !mine,
      "aria-label": `${emoji}, ${count}${mine ? ", also yours" : ""}`,
      onclick: () => act(mine ? "unreact" : "react", { message_id: message.id, emoji: key }),
    }, el("span", {}, emoji), el("span", {}, String(count))))), mayReact && el("li", {}, plus));
}
