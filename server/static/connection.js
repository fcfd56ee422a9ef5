// One connection to the server that comes back by itself, unless the server says that it must not.
//
// Events: "state" {state, code, reason, delay} and "message" {…}. The states:
//   connecting  the way in is being found, such as a ticket, or the handshake runs
//   open        messages go both ways
//   waiting     the connection was lost; the next try is in `delay` milliseconds
//   login       the server does not know who this is: log in, then connect()
//   stopped     the server said not to come back by ourselves; connect() if the user wants to

const BASE = 500; // milliseconds that the first try waits at most
const BUSY_BASE = 5_000; // the same when the server said that it is full
const LONGEST = 30_000;
const PATIENCE = 10_000; // milliseconds that a ticket or a handshake may take
const STEADY = 5_000; // milliseconds after which a connection counts as a success

export const CODE = {
  TRY_AGAIN_LATER: 1013, AUTH_REQUIRED: 4001, KICKED_FOR_SPAM: 4002, FORBIDDEN: 4003, REPLACED: 4004,
};
const FINAL = [CODE.KICKED_FOR_SPAM, CODE.FORBIDDEN, CODE.REPLACED];

// Full jitter: anywhere between now and a ceiling that doubles, so that a thousand pages do not come back together.
export function backoff(attempt, base = BASE) {
  return Math.random() * Math.min(LONGEST, base * 2 ** attempt);
}

export class Connection extends EventTarget {
  #findWayIn;
  #socket = null;
  #timer = 0;
  #attempt = 0;
  #openedAt = 0;
  #turn = 0;
  state = "stopped";

  // Each try asks `findWayIn` for {url, hello}, `hello` being a first message or none, or for a refusal {status, after}.
  constructor(findWayIn) {
    super();
    this.#findWayIn = findWayIn;
    addEventListener("online", () => this.state === "waiting" && this.connect());
  }

  async connect() {
    this.#drop();
    this.#set("connecting");
    const turn = this.#turn;
    const { url, hello, status, after } = await this.#findWayIn();
    if (turn !== this.#turn) return; // meanwhile somebody has called connect() or close()
    if (url) this.#open(url, hello);
    else if (status === 401) this.#set("login");
    else if (status === 403) this.#set("stopped", { code: CODE.FORBIDDEN });
    else this.#wait({ after });
  }

  send(message) {
    if (this.state !== "open") return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  close() {
    this.#drop();
    this.#set("stopped");
  }

  #open(url, hello) {
    const socket = (this.#socket = new WebSocket(url));
    this.#timer = setTimeout(() => this.#lost(socket, {}), PATIENCE);
    if (hello) socket.onopen = () => socket.send(JSON.stringify(hello));
    socket.onmessage = (event) => this.#heard(socket, JSON.parse(event.data));
    socket.onclose = (event) => this.#lost(socket, event);
  }

  #heard(socket, message) {
    if (socket !== this.#socket) return;
    if (this.state === "connecting") {
      clearTimeout(this.#timer);
      this.#openedAt = Date.now();
      this.#set("open");
    }
    this.dispatchEvent(new CustomEvent("message", { detail: message }));
  }

  #lost(socket, { code, reason }) {
    if (socket !== this.#socket) return;
    // a server that lets us in and throws us out at once must not be asked ten times a second
    if (this.#openedAt && Date.now() - this.#openedAt > STEADY) this.#attempt = 0;
    this.#drop();
    if (code === CODE.AUTH_REQUIRED) this.#set("login", { code, reason });
    else if (FINAL.includes(code)) this.#set("stopped", { code, reason });
    else this.#wait({ code, reason });
  }

  #wait({ code, reason, after = 0 }) {
    const delay = after + backoff(this.#attempt++, code === CODE.TRY_AGAIN_LATER ? BUSY_BASE : BASE);
    this.#timer = setTimeout(() => this.connect(), delay);
    this.#set("waiting", { code, reason, delay });
  }

  #drop() {
    this.#turn++;
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    this.#openedAt = 0;
    socket?.close();
  }

  #set(state, detail = {}) {
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: { state, ...detail } }));
  }
}

// The address of a WebSocket of this server, whatever folder a proxy shows it in.
export function socketUrl(path, query = {}) {
  const url = new URL(path, document.baseURI);
  url.protocol = url.protocol.replace("http", "ws");
  url.search = new URLSearchParams(query);
  return url;
}

// The way into the chat: a ticket for this device.
export async function withTicket(device) {
  try {
    const answer = await fetch("ticket", { method: "POST", signal: AbortSignal.timeout(PATIENCE) });
    if (answer.ok) return { url: socketUrl("ws", { ticket: (await answer.json()).ticket, device }) };
    const seconds = Number(answer.headers.get("Retry-After")) || 0; // too many have asked, or the server is away
    return { status: answer.status, after: Math.min(LONGEST, seconds * 1_000) };
  } catch {
    return {}; // no network, no server, or no answer in time
  }
}
