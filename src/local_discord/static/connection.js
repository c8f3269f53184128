// The two ways to the server: a WebSocket that tells, and POST /page/act that does.
import { byId, trouble } from "./dom.js";

const token = document.querySelector('meta[name="page-token"]').content;
let socket = null;
let wanted = null; // the user this page is now
let pause = 500;
let retry = 0;

export function connect(userId, onEvent) {
  wanted = userId;
  clearTimeout(retry);
  if (socket) {
    socket.onclose = null;
    socket.close();
  }
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const query = new URLSearchParams({ as: userId ?? "", token });
  const mine = new WebSocket(`${scheme}://${location.host}/page/ws?${query}`);
  socket = mine;
  mine.onmessage = (event) => {
    if (socket !== mine) return;
    pause = 500;
    byId("offline").hidden = true;
    const told = JSON.parse(event.data);
    if (told.t === "snapshot") wanted = told.me.id; // whoever chose nobody is the first person
    onEvent(told);
  };
  mine.onclose = () => {
    byId("offline").hidden = false;
    retry = setTimeout(() => again(onEvent), pause);
    pause = Math.min(pause * 2, 8000);
  };
}

async function again(onEvent) {
  // A server that was started anew has a new token: only a fresh page knows it.
  try {
    const page = await fetch("/page", { cache: "no-store" });
    if (page.ok && !(await page.text()).includes(token)) {
      location.reload();
      return;
    }
  } catch {
    // still away; the next try follows
  }
  connect(wanted, onEvent);
}

/** Does something as this page's person. -> the answer, or null after telling what went wrong. */
export async function act(action, args = {}, files = [], { quiet = false } = {}) {
  const order = JSON.stringify({ as: wanted, action, args });
  let body = order;
  const headers = { "X-Page-Token": token };
  if (files.length) {
    body = new FormData();
    body.append("order", order);
    for (const file of files) body.append("files", file, file.name);
  } else headers["Content-Type"] = "application/json";
  try {
    const answer = await fetch("/page/act", { method: "POST", headers, body });
    const result = await answer.json();
    if (answer.ok) return result;
    if (!quiet) trouble(result.error ?? `That did not work (${answer.status}).`);
  } catch {
    if (!quiet) trouble("The local server does not answer. Is it still running?");
  }
  return null;
}
