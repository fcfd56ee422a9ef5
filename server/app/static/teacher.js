// The teacher's page: shows the state of the class, and sends the teacher's commands to the server.

import { CODE, Connection, socketUrl } from "./connection.js";
import { Roster } from "./teacher-roster.js";

const $ = (id) => document.getElementById(id);
const SAVED_KEY = "teacher.key";
const STATES = { open: "live", connecting: "connecting", waiting: "offline", stopped: "offline", login: "offline" };
const ADDRESS_AGAIN = "Open the link that the server printed when it started: it ends with the key of this run.";
const ENDINGS = {
  1000: "closed", 1001: "page left", 1006: "connection lost", 1012: "server restarts",
  4001: "session expired", 4002: "too many messages", 4003: "removed", 4004: "replaced", 4008: "too slow",
};

const roster = new Roster($("rows"), $("row"));
const connection = new Connection(
  async () => ({ url: socketUrl("teacher/ws"), hello: { type: "teacher", key } }),
  { ping: null }, // the server sends the class twice a second
);
let key = keyFromAddress() || savedKey();
let students = [];
let endedShown = "";

// Take the key out of the address, so that it is not visible on a projector or kept in the history.
function keyFromAddress() {
  const found = new URLSearchParams(location.hash.slice(1)).get("key");
  if (found) {
    history.replaceState(null, "", location.pathname + location.search);
    try {
      sessionStorage.setItem(SAVED_KEY, found);
    } catch {
      // no storage: after a reload, the teacher must open the link again
    }
  }
  return found;
}

function savedKey() {
  try {
    return sessionStorage.getItem(SAVED_KEY);
  } catch {
    return null;
  }
}

// Messages from the server

const handlers = {
  class({ join, limits, ended, ...message }) {
    students = message.students;
    roster.limits = limits ?? roster.limits;
    showJoinLink(join);
    showStudents();
    showEnded(ended);
  },
  error({ expected }) {
    $("done").textContent = `Failed: the server expected ${expected}.`;
  },
};

connection.addEventListener("message", ({ detail }) => handlers[detail.type]?.(detail));
connection.addEventListener("state", ({ detail }) => showState(detail));

function showState({ state, code }) {
  $("class").dataset.state = state;
  $("state-text").textContent = STATES[state];
  $("tell").disabled = state !== "open";
  $("banner").hidden = ["open", "connecting"].includes(state);
  const refused = state === "login" || code === CODE.FORBIDDEN;
  $("banner-text").textContent = refused ? ADDRESS_AGAIN : "The connection is lost. Trying again …";
  $("banner-button").hidden = refused;
}

function showJoinLink(join) {
  if ($("address").textContent === join) return;
  for (const place of [$("address"), $("large-address")]) place.textContent = join;
  $("address").href = join;
  $("join-link").hidden = false;
}

function showStudents() {
  const { behind } = roster.show(students, { longestFirst: $("longest-first").checked });
  $("students-title").textContent = `Students · ${students.length}`;
  $("behind").textContent = behind.length ? `${behind.length} behind: ${behind.slice(0, 5).join(", ")}` : "";
  $("students").hidden = !students.length;
  $("nobody").hidden = Boolean(students.length);
  $("students").classList.toggle("with-progress", students.some(({ progress }) => progress));
  document.title = `The class · ${students.length}`;
}

function showEnded(ended) {
  if (JSON.stringify(ended) === endedShown) return;
  endedShown = JSON.stringify(ended);
  $("none-ended").hidden = Boolean(ended.length);
  $("ended").replaceChildren(...ended.toSorted((a, b) => b.at - a.at).map(ending));
}

function ending({ user, code, reason, at }) {
  const item = document.createElement("li");
  const time = document.createElement("time");
  const when = new Date(at * 1_000);
  time.dateTime = when.toISOString();
  time.textContent = when.toLocaleTimeString();
  const name = document.createElement("b");
  name.textContent = user;
  item.append(time, " ", name, ` ${code} ${[ENDINGS[code], reason].filter(Boolean).join(": ")}`);
  return item;
}

// Commands of the teacher

function sendCommand(type, { id, user, slow }) {
  const speed = slow === null ? Number($("speed").value) : null;
  const done = {
    slow: speed === null ? `${user} gets everything at full speed.` : `${user} gets ${speed} bytes a second.`,
    cut: `${user} was cut without a close frame, and reconnects by itself.`,
    kick: `${user} was removed with 4003, and does not reconnect by itself.`,
  };
  const sent = connection.send({ type, id, ...(type === "slow" && { bytes_per_second: speed }) });
  $("done").textContent = sent ? done[type] : "Failed: the connection is lost.";
}

$("rows").addEventListener("click", (event) => {
  const button = event.target.closest("[data-do]");
  if (button) sendCommand(button.dataset.do, roster.studentAt(button));
});

$("broadcast").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("announcement").value.trim();
  if (!text) return;
  if (!connection.send({ type: "broadcast", text })) {
    $("done").textContent = "Not sent: the connection is lost.";
    return;
  }
  $("announcement").value = "";
  $("done").textContent = `Sent to ${students.length}.`;
});

$("announcement").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("broadcast").requestSubmit();
});

$("longest-first").addEventListener("change", showStudents);
$("enlarge").addEventListener("click", () => $("large").showModal());
$("banner-button").addEventListener("click", () => connection.connect());

// pasting a new link over the old one changes only the fragment, so the page is not reloaded
addEventListener("hashchange", () => {
  key = keyFromAddress() || key;
  connection.connect();
});

if (key) connection.connect();
else showState({ state: "login" });
