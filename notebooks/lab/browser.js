/**
 * The browser's half of `lab.BrowserClient`: one WebSocket, opened by the reader's own browser.
 *
 * `findWay` works out how this page reaches a port of the kernel's machine, `Connection` owns
 * the socket and reports to Python, `Pane` is what the reader sees. One connection may have
 * several panes; it ends with the last of them.
 */

const ROWS_KEPT = 200;
const TEXT_SHOWN = 2_000; // characters of one message that are shown and reported
const PROBE_DEADLINE = 5_000; // ms; a closed port answers at once, a busy machine does not
const FLUSH_AFTER = 30; // ms; one update of the page and one report to Python for all events in between
const QUEUE_LENGTH = 100; // texts that Python sends before the socket is open
const FINAL = [1000, 4001, 4002, 4003, 4004]; // close codes after which another attempt would change nothing
const BACKOFF = { attempts: 8, first: 500, longest: 10_000, stable: 5_000 }; // ms

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

/** How this page reaches `port` on the kernel's machine: `{ way, url, found }`. */
async function findWay(port, path) {
  const direct = { way: "direct", url: `ws://127.0.0.1:${port}${path}`, found: true };
  const config = document.getElementById("jupyter-config-data");
  if (!config) return direct; // not a Jupyter page (an editor, say): there is no proxy to go through
  const base = new URL(`${JSON.parse(config.textContent).baseUrl ?? "/"}proxy/${port}`, location.href).href;
  const proxied = { way: "proxy", url: base.replace(/^http/, "ws") + path, found: true };
  if (!/^(localhost|.*\.localhost|127\.[\d.]+|\[::1\])$/.test(location.hostname)) return proxied;
  if (await answers(`http://127.0.0.1:${port}/`, "no-cors")) return direct;
  if (await answers(`${base}/`, "same-origin")) return proxied;
  return { ...direct, found: false }; // nobody listens: let the WebSocket itself say so
}

function shorten(text) {
  return text.length <= TEXT_SHOWN ? text : `${text.slice(0, TEXT_SHOWN)}… (${text.length} characters)`;
}

function describe(data) {
  if (typeof data === "string") return { data: shorten(data) };
  const bytes = [...new Uint8Array(data, 0, Math.min(data.byteLength, TEXT_SHOWN / 2))];
  const hex = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return { data: hex, binary: true, length: data.byteLength };
}

class Connection {
  constructor(model) {
    this.model = model;
    this.panes = new Set();
    this.rows = [];
    this.state = "closed";
    this.way = null;
    this.address = "";
    this.queue = [];
    this.attempt = 0;
    this.turn = 0;
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
    const turn = ++this.turn;
    const route = this.way ?? (await findWay(this.model.get("_port"), this.model.get("_path")));
    if (this.state !== "connecting" || turn !== this.turn) return undefined; // closed in the meantime
    this.way = route.found ? route : null;
    return this.open(route);
  }

  open({ way, url }) {
    const subprotocols = this.model.get("_subprotocols");
    const offer = subprotocols.length ? `, ${JSON.stringify(subprotocols)}` : "";
    this.address = `new WebSocket(${JSON.stringify(url)}${offer})`;
    this.route = way;
    let socket;
    try {
      socket = new WebSocket(url, subprotocols);
    } catch (error) {
      this.enter("closed");
      return this.refuse(error);
    }
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.opened(socket);
    socket.onmessage = ({ data }) => this.report("message", describe(data));
    socket.onerror = () => this.report("error", {});
    socket.onclose = ({ code, reason, wasClean }) => this.closed({ code, reason, clean: wasClean });
    this.socket = socket;
    return this.enter("connecting");
  }

  opened(socket) {
    this.openedAt = Date.now();
    this.enter("open");
    this.report("open", { way: this.route, protocol: socket.protocol });
    for (const text of this.queue.splice(0)) this.send(text);
  }

  closed(detail) {
    this.socket = null;
    const again = this.model.get("_reconnect") && this.panes.size > 0 && !this.wanted && !FINAL.includes(detail.code);
    // an open that lasts a moment is no success: the proxy opens before it knows that the server refuses
    if (Date.now() - (this.openedAt ?? Infinity) > BACKOFF.stable) this.attempt = 0;
    this.openedAt = undefined;
    this.wanted = false;
    this.enter("closed");
    this.report("close", detail);
    if (again) this.retry();
  }

  /** Wait a random time, with a limit that doubles at each attempt, and connect again. */
  retry() {
    if (this.attempt >= BACKOFF.attempts) {
      this.attempt = 0;
      return this.note(`gave up after ${BACKOFF.attempts} attempts; press Connect to try again`);
    }
    const limit = Math.min(BACKOFF.longest, BACKOFF.first * 2 ** this.attempt++);
    const delay = Math.random() * limit;
    this.enter("waiting");
    this.note(
      `attempt ${this.attempt} of ${BACKOFF.attempts} in ${(delay / 1000).toFixed(1)} s ` +
        `(chosen between 0 and ${limit / 1000} s)`,
    );
    this.timer = setTimeout(() => this.connect(), delay);
    return undefined;
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
    return this.enter("closing");
  }

  dispose() {
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
    this.add({ ...entry, way: this.route });
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

const SIGNS = { open: "●", sent: "→", message: "←", error: "!", close: "■", exception: "!", note: "·" };

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
      const hidden = (row.way === "proxy" && HIDDEN[row.code]) || "";
      return `code ${row.code}, reason ${quoted(row.reason)}, wasClean ${row.clean}${hidden}`;
    }
    case "exception":
      return `${row.name}: ${row.message}`;
    case "note":
      return row.text;
    default:
      return row.binary ? `${row.length} bytes: ${row.data}` : row.data;
  }
}

const WAYS = {
  direct: "Directly: your browser and the kernel are on one machine.",
  proxy: "Through Jupyter's proxy. It hides the server's close codes and reasons: you will see 1005.",
};

class Pane {
  constructor(connection) {
    this.connection = connection;
    this.state = element("strong", { className: "lab-state", role: "status" });
    this.address = element("code", { className: "lab-address" });
    this.way = element("div", { className: "lab-way" });
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
      this.way,
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
    this.way.textContent = route ? WAYS[route] : "Looking for the way to the server.";
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
      el.append(pane.node);
      if (connection.state === "closed") connection.connect();
      return () => {
        connection.panes.delete(pane);
        if (connection.panes.size === 0) connection.dispose();
      };
    },
  };
};
