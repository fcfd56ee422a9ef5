// One connection to the server, which reconnects by itself unless the server forbids it.
//
// Events: "state" {state, code, reason, delay} and "message" {…}. The states:
//   connecting  getting a ticket, or in the handshake
//   open        messages can be sent and received
//   waiting     the connection was lost; the next attempt is in `delay` milliseconds
//   login       the server doesn't know the user: log in, then call connect()
//   stopped     the server said not to reconnect; call connect() if the user asks for it
//
// A browser hides pings from a page, and a dead network path closes no connection. So after PING_AFTER without a
// message the page sends a ping of its own, and if no message arrives within REPLY_TIMEOUT, the connection is lost.

const BASE = 500; // milliseconds; the longest delay before the first attempt
const BUSY_BASE = 5_000; // the same if the server is full, or we sent too much
const LONGEST_DELAY = 30_000;
const SPAM_PAUSE = 30_000; // milliseconds that a page pauses after it has sent too much
const REPLY_TIMEOUT = 10_000; // milliseconds that a handshake or a reply may take
const TICKET_TIMEOUT = 3_000; // milliseconds for a ticket; after it, the browser doesn't reuse that HTTP connection
const PING_AFTER = 20_000; // milliseconds without a message after which the page sends a ping
const CLOCK_CHECK = 5_000; // milliseconds between two checks of the clock, which jumps when the machine has slept
const STABLE_AFTER = 5_000; // milliseconds after which a connection counts as a success

export const CODE = {
  TRY_AGAIN_LATER: 1013, AUTH_REQUIRED: 4001, KICKED_FOR_SPAM: 4002, FORBIDDEN: 4003, REPLACED: 4004,
};
const FINAL = [CODE.FORBIDDEN, CODE.REPLACED];

// Full jitter: a random delay below a limit that doubles, so that a thousand pages don't reconnect together.
export function backoff(attempt, base = BASE) {
  return Math.random() * Math.min(LONGEST_DELAY, base * 2 ** attempt);
}

export class Connection extends EventTarget {
  #getEndpoint;
  #ping;
  #socket = null;
  #timer = 0; // one for all: next attempt, handshake timeout, ping or reply timeout
  #attempt = 0;
  #openedAt = 0;
  #expectsReply = false;
  #mustWait = false;
  #hasNewTicket = false; // whether this attempt follows a refused ticket
  #generation = 0;
  state = "stopped";

  // Each attempt calls `getEndpoint` for {url, hello}, where `hello` is an optional first message, or {status, after,
  // reason} for a refusal. `ping` is the message that checks the connection; null if the server sends often anyway.
  constructor(getEndpoint, { ping = { type: "ping" } } = {}) {
    super();
    this.#getEndpoint = getEndpoint;
    this.#ping = ping;
    addEventListener("online", () => this.#onWake());
    addEventListener("pageshow", ({ persisted }) => persisted && this.#onWake()); // back from the back/forward cache
    document.addEventListener("resume", () => this.#onWake());
    document.addEventListener("visibilitychange", () => document.hidden || this.#onWake());
    let lookedAt = Date.now();
    setInterval(() => {
      const late = Date.now() - lookedAt - CLOCK_CHECK;
      lookedAt = Date.now();
      if (late > CLOCK_CHECK) this.#onWake();
    }, CLOCK_CHECK);
  }

  async connect() {
    this.#disconnect();
    this.#setState("connecting");
    const generation = this.#generation;
    const { url, hello, status, after, reason } = await this.#getEndpoint();
    if (generation !== this.#generation) return; // connect() or close() was called in the meantime
    if (url) this.#open(url, hello);
    else if (status === 401) this.#setState("login");
    else if (status === 403) this.#setState("stopped", { code: CODE.FORBIDDEN, reason });
    else this.#wait({ after });
  }

  // Send a message; return false if there is no connection. The server replies to a message with an `id`.
  send(message) {
    if (this.state !== "open") return false;
    this.#socket.send(encode(message));
    if ("id" in message) this.#expectReplySoon();
    return true;
  }

  close() {
    this.#disconnect();
    this.#setState("stopped");
  }

  #open(url, hello) {
    const socket = (this.#socket = new WebSocket(url));
    this.#timer = setTimeout(() => this.#onClose(socket, {}), REPLY_TIMEOUT);
    if (hello) socket.onopen = () => socket.send(encode(hello));
    socket.onmessage = (event) => this.#onMessage(socket, JSON.parse(event.data));
    socket.onclose = (event) => this.#onClose(socket, event);
  }

  #onMessage(socket, message) {
    if (socket !== this.#socket) return;
    clearTimeout(this.#timer);
    this.#expectsReply = false;
    this.#timer = setTimeout(() => this.#sendPing(), PING_AFTER);
    if (this.state === "connecting") {
      this.#openedAt = Date.now();
      this.#setState("open");
    }
    this.dispatchEvent(new CustomEvent("message", { detail: message }));
  }

  #sendPing() {
    if (this.#expectsReply) return; // the tabs of a user share a limit, and several events may wake each of them
    if (this.#ping) this.#socket.send(encode(this.#ping));
    this.#expectReplySoon();
  }

  #expectReplySoon() {
    if (this.#expectsReply) return;
    this.#expectsReply = true;
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#timer = setTimeout(() => this.#onClose(socket, {}), REPLY_TIMEOUT);
  }

  // The network, the page or the machine was suspended, so check the connection now.
  #onWake() {
    if (this.state === "waiting" && !this.#mustWait) this.connect();
    else if (this.state !== "open") return;
    else if (this.#socket.readyState === WebSocket.OPEN) this.#sendPing();
    else this.#onClose(this.#socket, {});
  }

  #onClose(socket, { code, reason }) {
    if (socket !== this.#socket) return;
    // don't reset the backoff if the server accepts connections and closes them at once
    if (this.#openedAt && Date.now() - this.#openedAt > STABLE_AFTER) this.#attempt = 0;
    const ticketRefused = code === CODE.AUTH_REQUIRED && !this.#openedAt && !this.#hasNewTicket;
    this.#disconnect();
    this.#hasNewTicket = ticketRefused;
    if (ticketRefused) this.connect(); // the ticket may have expired while the machine slept, so get a new one
    else if (code === CODE.AUTH_REQUIRED) this.#setState("login", { code, reason });
    else if (FINAL.includes(code)) this.#setState("stopped", { code, reason });
    else this.#wait({ code, reason, after: code === CODE.KICKED_FOR_SPAM ? SPAM_PAUSE : 0 });
  }

  #wait({ code, reason, after = 0 }) {
    const isBusy = [CODE.TRY_AGAIN_LATER, CODE.KICKED_FOR_SPAM].includes(code);
    const delay = after + backoff(this.#attempt++, isBusy ? BUSY_BASE : BASE);
    this.#mustWait = isBusy || after > 0;
    this.#timer = setTimeout(() => this.connect(), delay);
    this.#setState("waiting", { code, reason, delay });
  }

  #disconnect() {
    this.#generation++;
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    this.#openedAt = 0;
    this.#expectsReply = false;
    socket?.close();
  }

  #setState(state, detail = {}) {
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: { state, ...detail } }));
  }
}

// Encode as JSON that every server can parse: half a character (a lone surrogate) becomes a replacement character.
function encode(message) {
  return JSON.stringify(message, (_, value) => (typeof value === "string" ? value.toWellFormed() : value));
}

// Return the address of a WebSocket on this server, relative to the page, because a proxy may add a folder.
export function socketUrl(path, query = {}) {
  const url = new URL(path, document.baseURI);
  url.protocol = url.protocol.replace("http", "ws");
  url.search = new URLSearchParams(query);
  return url;
}

// Get a ticket for this device; return an endpoint of the server, by default the chat.
export async function ticketEndpoint(device, path = "ws") {
  try {
    const response = await fetch("ticket", { method: "POST", signal: AbortSignal.timeout(TICKET_TIMEOUT) });
    if (response.ok) return { url: socketUrl(path, { ticket: (await response.json()).ticket, device }) };
    const seconds = Number(response.headers.get("Retry-After")) || 0; // too many requests, or the server is unavailable
    const { detail: reason } = response.status === 403 ? await response.json().catch(() => ({})) : {};
    return { status: response.status, after: Math.min(LONGEST_DELAY, seconds * 1_000), reason };
  } catch {
    return {}; // no network, no server, or a timeout
  }
}
