/**
 * The browser's half of `lab.BrowserClient`: one WebSocket, opened by the reader's own browser.
 *
 * `findRoute` works out how this page reaches a port of the kernel's machine, `Connection` owns
 * the socket and reports to Python, `IdleTimer` notices a dead path, `Pane` is what the reader
 * sees. One connection may have several panes; it ends with the last of them.
 */

const ROWS_KEPT = 200;
const TEXT_SHOWN = 2_000; // characters of one message that are shown and reported
const PROBE_DEADLINE = 5_000; // ms; a closed port answers at once, a busy machine does not
const FLUSH_AFTER = 30; // ms; one update of the page and one report to Python for all events in between
const QUEUE_LENGTH = 100; // texts that Python sends before the socket is open
const HANDSHAKE = 10_000; // ms in which the server must have answered
const LOOK = 1_000; // ms between two looks at the clock, which jumps when the machine slept
const FINAL = [1000, 4001, 4003, 4004]; // close codes after which another attempt would change nothing
const BUSY = [1013, 4002]; // close codes of a server that is full, or to which we sent too much: come back later
const BACKOFF = { attempts: 8, first: 500, busy: 5_000, longest: 10_000, spam: 30_000, stable: 5_000 }; // ms

async function answers(url, mode) {
  try {
    const response = await fetch(url, {
      mode,
      cache: "no-store",
      credentials: mode === "no-cors" ? "omit" : "same-origin",
      signal: AbortSignal.timeout(PROBE_DEADLINE),
    });
    return response.status < 500; // a no-cors answer has status 0
  } catch {
    return false;
  }
}

/** How this page reaches `port` on the kernel's machine: `{ name, url, found }`. */
async function findRoute(port, path) {
  const direct = { name: "direct", url: `ws://127.0.0.1:${port}${path}`, found: true };
  const config = document.getElementById("jupyter-config-data");
  if (!config) return direct; // not a Jupyter page (an editor, say): there is no proxy
  const base = new URL(`${JSON.parse(config.textContent).baseUrl ?? "/"}proxy/${port}`, location.href).href;
  const proxied = { name: "proxy", url: base.replace(/^http/, "ws") + path, found: true };
  if (!/^(localhost|.*\.localhost|127\.[\d.]+|\[::1\])$/.test(location.hostname)) return proxied;
  if (await answers(`http://127.0.0.1:${port}/`, "no-cors")) return direct;
  if (await answers(`${base}/`, "same-origin")) return proxied;
  return { ...direct, found: false }; // nothing listens there: the WebSocket will say so
}

/** A text as the socket sends it, without half characters, and cut where a reader sees a character end. */
function shorten(text) {
  const whole = text.toWellFormed(); // Python cannot print half a surrogate pair
  if (whole.length <= TEXT_SHOWN) return whole;
  const near = new Intl.Segmenter().segment(whole.slice(0, 2 * TEXT_SHOWN));
  const end = near.containing(TEXT_SHOWN).index || TEXT_SHOWN; // one character may be longer than all that is shown
  const shown = whole.slice(0, end).replace(/[\ud800-\udbff]$/, "");
  return `${shown}… (${whole.length} characters)`;
}

function describe(data) {
  if (typeof data === "string") return { data: shorten(data) };
  const bytes = [...new Uint8Array(data, 0, Math.min(data.byteLength, TEXT_SHOWN / 2))];
  const hex = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return { data: hex, binary: true, length: data.byteLength };
}

/**
 * Notices that nothing comes over an open socket any more: a dead path closes nothing, and a
 * page sees no pings. After half of the limit it asks, if there is a question that the server
 * answers; at the end of the limit it gives up.
 */
class IdleTimer {
  constructor(limit, { ask, giveUp }) {
    Object.assign(this, { limit, ask, giveUp });
    this.received();
    this.timer = setInterval(() => this.look(), Math.min(LOOK, limit / 4));
  }

  received() {
    this.asked = !this.ask;
    this.until = Date.now() + (this.ask ? this.limit / 2 : this.limit);
  }

  look() {
    if (Date.now() < this.until) return;
    if (this.asked) this.giveUp();
    else this.question();
  }

  /** Ask now: the network, the page or the machine was away. */
  question() {
    if (this.asked) return;
    this.asked = true;
    this.until = Date.now() + this.limit / 2;
    this.ask();
  }

  stop() {
    clearInterval(this.timer);
  }
}

/**
 * What `WebSocket` is, for a server inside this page (JupyterLite): the kernel connects, and
 * passes on what is sent and received.
 */
class KernelSocket {
  static count = 0;

  constructor(model, url, subprotocols) {
    this.model = model;
    this.number = ++KernelSocket.count;
    this.protocol = "";
    this.onmessages = (message) => message.socket === this.number && this.received(message);
    model.on("msg:custom", this.onmessages);
    this.call("open", { url, subprotocols, origin: location.origin, agent: navigator.userAgent });
  }

  call(name, detail) {
    this.model.send({ socket: this.number, call: name, ...detail });
  }

  received({ event, protocol, text, hex, code, reason, clean }) {
    if (event === "open") {
      this.protocol = protocol;
      this.onopen?.();
    } else if (event === "message") {
      this.onmessage?.({ data: text ?? Uint8Array.from(hex.match(/../g) ?? [], (two) => parseInt(two, 16)).buffer });
    } else if (event === "error") {
      this.onerror?.();
    } else {
      this.model.off("msg:custom", this.onmessages);
      this.onclose?.({ code, reason, wasClean: clean });
    }
  }

  send(text) {
    this.call("send", { text });
  }

  close(code = 1000, reason = "") {
    if (code !== 1000 && !(code >= 3000 && code <= 4999)) {
      throw new DOMException(`The close code must be 1000, or between 3000 and 4999. ${code} is neither.`, "InvalidAccessError");
    }
    this.call("close", { code, reason });
  }
}

class Connection {
  constructor(model) {
    this.model = model;
    this.panes = new Set();
    this.rows = [];
    this.state = "closed";
    this.found = null; // the route, once it is known
    this.route = undefined; // its name
    this.address = "";
    this.queue = [];
    this.attempt = 0;
    this.connecting = 0; // counts calls of connect()
    this.pending = { rows: [], events: [] };
  }

  get isIdle() {
    return this.state === "closed" || this.state === "waiting";
  }

  /** Open a new socket, unless there is one. */
  async connect() {
    if (!this.isIdle) return this.note(`already ${this.state}`);
    clearTimeout(this.timer);
    this.enter("connecting");
    const connecting = ++this.connecting;
    const route = this.found ?? (await this.findRoute());
    if (this.state !== "connecting" || connecting !== this.connecting) return undefined; // closed in the meantime
    this.found = route.found ? route : null;
    return this.open(route);
  }

  findRoute() {
    const [port, path] = [this.model.get("_port"), this.model.get("_path")];
    if (!this.model.get("_through_kernel")) return findRoute(port, path);
    return { name: "direct", url: `ws://127.0.0.1:${port}${path}`, found: true };
  }

  open({ name, url }) {
    const subprotocols = this.model.get("_subprotocols");
    const offer = subprotocols.length ? `, ${JSON.stringify(subprotocols)}` : "";
    this.address = `new WebSocket(${JSON.stringify(url)}${offer})`;
    this.route = name;
    let socket;
    try {
      const throughKernel = this.model.get("_through_kernel");
      socket = throughKernel ? new KernelSocket(this.model, url, subprotocols) : new WebSocket(url, subprotocols);
    } catch (error) {
      this.enter("closed");
      return this.refuse(error);
    }
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.opened(socket);
    socket.onmessage = ({ data }) => this.received(data);
    socket.onerror = () => this.report("error", {});
    socket.onclose = ({ code, reason, wasClean }) => this.ended("close", { code, reason, clean: wasClean });
    this.socket = socket;
    this.timer = setTimeout(() => this.giveUp(HANDSHAKE), HANDSHAKE);
    return this.enter("connecting");
  }

  opened(socket) {
    clearTimeout(this.timer);
    this.openedAt = Date.now();
    this.watch();
    this.enter("open");
    this.report("open", { route: this.route, protocol: socket.protocol });
    for (const text of this.queue.splice(0)) this.send(text);
  }

  received(data) {
    this.idle?.received();
    this.report("message", describe(data));
  }

  /** Notice when nothing comes any more, if the model says how long that may last. */
  watch() {
    const limit = this.model.get("_idle_timeout") * 1_000; // 0 for none
    const ping = this.model.get("_ping");
    const ask = ping === null ? null : () => this.send(ping);
    if (limit) this.idle = new IdleTimer(limit, { ask, giveUp: () => this.giveUp(limit) });
  }

  /** Drop a socket over which nothing comes: the browser itself would wait for many minutes. */
  giveUp(limit) {
    const { socket } = this;
    socket.onopen = socket.onmessage = socket.onerror = socket.onclose = null;
    socket.close();
    this.ended("lost", { seconds: limit / 1_000 });
  }

  ended(event, detail) {
    clearTimeout(this.timer);
    this.idle?.stop();
    this.idle = undefined;
    this.socket = null;
    const again = this.model.get("_reconnect") && this.panes.size > 0 && !this.wanted && !FINAL.includes(detail.code);
    // an open that lasts a moment is no success: the proxy opens before it knows that the server refuses
    if (Date.now() - (this.openedAt ?? Infinity) > BACKOFF.stable) this.attempt = 0;
    this.openedAt = undefined;
    this.wanted = false;
    this.enter("closed");
    this.report(event, detail);
    if (again) this.retry(detail.code);
  }

  /** Wait a random time, with a limit that doubles at each attempt, and connect again. */
  retry(code) {
    if (this.attempt >= BACKOFF.attempts) {
      this.attempt = 0;
      return this.note(`gave up after ${BACKOFF.attempts} attempts; press Connect to try again`);
    }
    this.mustWait = BUSY.includes(code);
    const least = code === 4002 ? BACKOFF.spam : 0;
    const first = this.mustWait ? BACKOFF.busy : BACKOFF.first;
    const most = least + Math.min(BACKOFF.longest, first * 2 ** this.attempt++);
    const delay = least + Math.random() * (most - least);
    this.enter("waiting");
    this.note(
      `attempt ${this.attempt} of ${BACKOFF.attempts} in ${(delay / 1000).toFixed(1)} s ` +
        `(chosen between ${least / 1000} and ${most / 1000} s)`,
    );
    this.timer = setTimeout(() => this.connect(), delay);
    return undefined;
  }

  /** The network, the page or the machine was away: what was true before may be so no longer. */
  wake() {
    if (this.state === "waiting" && !this.mustWait) this.connect();
    else if (this.state === "open") this.idle?.question();
  }

  /** Wake at once when the page or the network is back, for as long as there is a pane. */
  listen() {
    if (this.listening) return;
    this.listening = new AbortController();
    const { signal } = this.listening;
    addEventListener("online", () => this.wake(), { signal });
    addEventListener("pageshow", ({ persisted }) => persisted && this.wake(), { signal }); // from the back/forward cache
    document.addEventListener("resume", () => this.wake(), { signal });
    document.addEventListener("visibilitychange", () => document.hidden || this.wake(), { signal });
  }

  send(text, { later = false } = {}) {
    if (this.state === "open") {
      this.socket.send(text);
      this.report("sent", { data: shorten(text) });
    } else if (later && this.queue.length < QUEUE_LENGTH) {
      this.queue.push(text);
    } else {
      this.note(`not sent, the socket is ${this.state}`);
    }
  }

  close(code, reason) {
    clearTimeout(this.timer);
    this.queue = [];
    if (!this.socket) return this.state === "closed" ? this.note("already closed") : this.enter("closed");
    try {
      this.socket.close(code, reason);
    } catch (error) {
      return this.refuse(error);
    }
    this.wanted = true;
    this.idle?.stop(); // the browser waits for the server's close frame, but not for long
    return this.enter("closing");
  }

  dispose() {
    this.listening?.abort();
    this.listening = undefined;
    if (this.state !== "closed") this.close(1000, "the pane was removed");
  }

  command({ command, text, code, reason }) {
    if (command === "send") this.send(text, { later: true });
    if (command === "close") this.close(code, reason);
    if (command === "connect") this.connect();
  }

  refuse(error) {
    this.report("exception", { name: error.name, message: error.message });
  }

  note(text) {
    this.add({ event: "note", text });
  }

  enter(state) {
    this.state = state;
    this.flushSoon();
  }

  report(event, detail) {
    const entry = { event, ...detail };
    this.pending.events.push(entry);
    this.add({ ...entry, route: this.route });
  }

  add(row) {
    this.pending.rows.push(row);
    this.flushSoon();
  }

  flushSoon() {
    this.flushing ??= setTimeout(() => this.flush(), FLUSH_AFTER);
  }

  flush() {
    const { rows, events } = this.pending;
    this.pending = { rows: [], events: [] };
    this.flushing = undefined;
    this.rows = [...this.rows, ...rows].slice(-ROWS_KEPT);
    for (const pane of this.panes) pane.update(this, rows.slice(-ROWS_KEPT));
    this.model.send({ state: this.state, events });
  }
}

function element(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

const SIGNS = { open: "●", sent: "→", message: "←", error: "!", close: "■", lost: "■", exception: "!", note: "·" };

const HIDDEN = {
  1005: " (the proxy hides the server's code)",
  1006: " (perhaps a refusal: the proxy opens before it asks the server)",
};

/** What a row of the log says after its name. */
function sentence(row) {
  const quoted = JSON.stringify;
  switch (row.event) {
    case "open":
      return `the handshake succeeded${row.protocol && `, protocol ${quoted(row.protocol)}`}`;
    case "error":
      return "the browser never tells a script what went wrong";
    case "close": {
      const hidden = (row.route === "proxy" && HIDDEN[row.code]) || "";
      return `code ${row.code}, reason ${quoted(row.reason)}, wasClean ${row.clean}${hidden}`;
    }
    case "lost":
      return `nothing came for ${row.seconds} s, so the path counts as dead`;
    case "exception":
      return `${row.name}: ${row.message}`;
    case "note":
      return row.text;
    default:
      return row.binary ? `${row.length} bytes: ${row.data}` : row.data;
  }
}

const ROUTES = {
  direct: "Directly: your browser and the kernel are on one machine.",
  proxy: "Through Jupyter's proxy. It hides the server's close codes and reasons: you will see 1005.",
};

class Pane {
  constructor(connection) {
    this.connection = connection;
    this.state = element("strong", { className: "lab-state", role: "status" });
    this.address = element("code", { className: "lab-address" });
    this.route = element("div", { className: "lab-route" });
    this.log = element("div", { className: "lab-log", role: "log", tabIndex: 0, "aria-label": "Events, newest last" });
    this.text = this.field("Message", { placeholder: "type and press Enter", className: "lab-text" });
    this.code = this.field("Close code", { value: "1000", inputMode: "numeric", size: 5, className: "lab-code" });
    this.reason = this.field("Reason", { placeholder: "optional", className: "lab-text" });
    this.buttons = {
      send: this.button("Send", () => this.send()),
      close: this.button("Close", () => this.close()),
      connect: this.button("Connect", () => connection.connect()),
    };
    this.node = element(
      "div",
      { className: "lab-browser", role: "group", "aria-label": `WebSocket client ${connection.model.get("_path")}` },
      element("div", { className: "lab-head" }, this.state, this.address),
      this.route,
      this.log,
      element("div", { className: "lab-row" }, this.text.label, this.buttons.send),
      element("div", { className: "lab-row" }, this.code.label, this.reason.label, this.buttons.close, this.buttons.connect),
    );
    this.node.addEventListener("keydown", (event) => this.pressed(event));
  }

  field(name, properties) {
    const input = element("input", { type: "text", autocomplete: "off", spellcheck: false, ...properties });
    return { input, label: element("label", { className: properties.className }, name, input) };
  }

  button(name, action) {
    const button = element("button", { type: "button", className: "lab-button" }, name);
    button.addEventListener("click", () => button.getAttribute("aria-disabled") === "true" || action());
    return button;
  }

  // JupyterLab swallows Enter's default action inside a cell, for fields and for buttons
  pressed(event) {
    if (event.key !== "Enter" || event.shiftKey || event.ctrlKey || event.metaKey || event.isComposing) return;
    const { target } = event;
    if (target === this.text.input) this.send();
    else if (target === this.code.input || target === this.reason.input) this.buttons.close.click();
    else if (target instanceof HTMLButtonElement) target.click();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  send() {
    if (this.connection.state === "open") {
      this.connection.send(this.text.input.value);
      this.text.input.value = "";
    } else {
      this.connection.note(`not sent, the socket is ${this.connection.state}`);
    }
    this.text.input.focus();
  }

  close() {
    const code = this.code.input.value.trim();
    this.connection.close(code === "" ? undefined : Number(code), this.reason.input.value);
  }

  update({ state, address, route, isIdle }, rows) {
    this.node.dataset.state = state;
    if (this.state.textContent !== state) this.state.textContent = state;
    this.address.textContent = address;
    this.route.textContent = route ? ROUTES[route] : "Looking for a route to the server.";
    const disabled = { send: state !== "open", close: isIdle && state !== "waiting", connect: !isIdle };
    for (const [name, value] of Object.entries(disabled)) this.buttons[name].setAttribute("aria-disabled", value);
    this.append(rows);
  }

  append(rows) {
    if (rows.length === 0) return;
    const { log } = this;
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 8;
    log.append(...rows.map((row) => this.row(row)));
    while (log.childElementCount > ROWS_KEPT) log.firstElementChild.remove();
    if (atEnd) log.scrollTop = log.scrollHeight;
  }

  row(row) {
    return element(
      "div",
      { className: `lab-event lab-${row.event}` },
      element("span", { className: "lab-sign", "aria-hidden": "true" }, SIGNS[row.event]),
      element("span", { className: "lab-name" }, row.event),
      element("span", { className: "lab-detail" }, sentence(row)),
    );
  }
}

export default () => {
  let connection;
  return {
    initialize({ model }) {
      connection = new Connection(model);
      model.on("msg:custom", (message) => connection.command(message));
      return () => connection.dispose();
    },
    render({ el }) {
      const pane = new Pane(connection);
      pane.update(connection, connection.rows);
      connection.panes.add(pane);
      connection.listen();
      el.classList.add("lab-cell");
      el.append(pane.node);
      if (connection.state === "closed") connection.connect();
      return () => {
        connection.panes.delete(pane);
        if (connection.panes.size === 0) connection.dispose();
      };
    },
  };
};
