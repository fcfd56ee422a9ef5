// The table of the class: one row for each connection, updated in place, because 200 rows change twice a second.

import { avatar } from "./avatar.js";

const BEHIND = 1; // seconds of lag at which a connection counts as behind
const STEPS = 20; // levels of a queue for sorting, so that small differences don't move rows

export class Roster {
  #body;
  #template;
  #rows = new Map(); // id of a connection: its Row
  limits = { messages: 256, bytes: 1 << 20 }; // of one queue

  constructor(body, template) {
    this.#body = body;
    this.#template = template;
  }

  // Show these connections and no others; return the names of those that are behind.
  show(students, { longestFirst }) {
    const here = new Set(students.map(({ id }) => id));
    for (const [id, row] of this.#rows) if (!here.has(id)) this.#remove(id, row);
    for (const student of students) this.#row(student).update(student, this.limits);
    const rows = [...this.#rows.values()];
    if (!this.#isInUse) arrange(this.#body, rows.sort(longestFirst ? byQueue : byName));
    return { behind: rows.filter((row) => row.isBehind).map(({ student }) => student.user) };
  }

  studentAt(node) {
    return this.#rows.get(Number(node.closest("tr").dataset.id)).student;
  }

  // Don't move rows while a button is under the pointer or has the keyboard focus.
  get #isInUse() {
    return this.#body.matches(matchMedia("(hover: hover)").matches ? ":hover, :has(:focus-visible)" : ":has(:focus-visible)");
  }

  #row({ id, user }) {
    if (!this.#rows.has(id)) {
      const node = this.#template.content.firstElementChild.cloneNode(true);
      this.#rows.set(id, new Row(node, id, user));
      this.#body.append(node);
    }
    return this.#rows.get(id);
  }

  #remove(id, row) {
    row.node.remove();
    this.#rows.delete(id);
  }
}

class Row {
  #parts;
  #written = new Map(); // node: its current value, so that only changes touch the page
  student = null;
  full = 0; // how full the queue is, 0 to 1
  isBehind = false;

  constructor(node, id, user) {
    this.node = node;
    node.dataset.id = id;
    const part = (name) => node.querySelector(`.${name}`);
    this.#parts = Object.fromEntries(
      ["name", "where", "meter", "level", "waiting", "lag", "count", "dropped", "progress"].map((name) => [name, part(name)]),
    );
    this.slowButton = node.querySelector("[data-do=slow]");
    avatar(user, part("avatar"));
    this.#parts.name.textContent = user;
    this.#parts.meter.ariaLabel = `Queue of ${user}, percent full`;
    for (const button of node.querySelectorAll("button")) button.ariaLabel = `${button.textContent} ${user}`;
  }

  update(student, limits) {
    const { id, rooms, waiting, bytes, lag, sent, dropped, slow, progress } = student;
    const parts = this.#parts;
    this.student = student;
    this.full = Math.min(1, Math.max(waiting / limits.messages, bytes / limits.bytes));
    this.isBehind = lag >= BEHIND;
    this.#write(parts.where, [`#${id}`, ...rooms, slow === null ? "" : `slow: ${size(slow)}/s`].filter(Boolean).join(" · "));
    this.#write(parts.waiting, waiting ? `${waiting} · ${size(bytes)}` : "empty");
    this.#write(parts.lag, `${lag.toFixed(1)} s`);
    this.#write(parts.count, String(sent));
    this.#write(parts.dropped, dropped ? `${dropped} dropped` : "");
    this.#write(parts.progress, progress ? progressText(progress) : "");
    this.#write(parts.meter, Math.round(100 * this.full), (node, value) => (node.ariaValueNow = value));
    this.#write(parts.level, this.full.toFixed(3), (node, value) => node.style.setProperty("--full", value));
    this.#write(this.node, this.isBehind, (node, value) => node.classList.toggle("behind", value));
    this.#write(this.slowButton, slow !== null, (node, value) => (node.ariaPressed = value));
  }

  #write(node, value, put = (to, text) => (to.textContent = text)) {
    if (this.#written.get(node) === value) return;
    this.#written.set(node, value);
    put(node, value);
  }
}

function byName(a, b) {
  return a.student.user.localeCompare(b.student.user) || a.student.id - b.student.id;
}

function byQueue(a, b) {
  return Math.ceil(b.full * STEPS) - Math.ceil(a.full * STEPS) || byName(a, b);
}

// Put the rows into this order, and move only those that are out of place.
function arrange(body, rows) {
  let next = body.firstElementChild;
  for (const { node } of rows) {
    if (node === next) next = next.nextElementSibling;
    else body.insertBefore(node, next);
  }
}

function size(bytes) {
  if (bytes < 1_000) return `${bytes} B`;
  return bytes < 1_000_000 ? `${(bytes / 1_000).toFixed(1)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}

// Return such as "01: 3 of 4 · 03: 1 of 1": for each lesson, how many checks have passed.
function progressText(lessons) {
  return Object.entries(lessons)
    .map(([lesson, checks]) => [lesson.split("-")[0], Object.values(checks)])
    .map(([number, checks]) => `${number}: ${checks.filter(Boolean).length} of ${checks.length}`)
    .join(" · ");
}
