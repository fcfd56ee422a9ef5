// The teacher's page: what the server tells of the class goes to the roster, what the teacher does goes to the server.

import { CODE, Connection, socketUrl } from "./connection.js";
import { Roster } from "./teacher-roster.js";

const $ = (id) => document.getElementById(id);
const KEPT_KEY = "teacher.key";
const STATES = { open: "live", connecting: "connecting", waiting: "offline", stopped: "offline", login: "offline" };
const ADDRESS_AGAIN = "Open the address that the server printed when it started: it ends with the key of this run.";
const ENDINGS = {
  1000: "closed", 1001: "page left", 1006: "no goodbye", 1012: "server restarts",
  4001: "session over", 4002: "kicked", 4003: "forbidden", 4004: "replaced", 4008: "too slow",
};

const roster = new Roster($("rows"), $("row"));
const connection = new Connection(async () => ({ url: socketUrl("teacher/ws"), hello: { type: "teacher", key } }));
let key = keyOfAddress() || keptKey();
let students = [];
let endedShown = "";

// The key stands in the address once, and then nowhere that is seen on a projector or kept in a history.
function keyOfAddress() {
  const found = new URLSearchParams(location.hash.slice(1)).get("key");
  if (found) {
    history.replaceState(null, "", location.pathname + location.search);
    try {
      sessionStorage.setItem(KEPT_KEY, found);
    } catch {
      // a reload asks for the address again
    }
  }
  return found;
}

function keptKey() {
  try {
    return sessionStorage.getItem(KEPT_KEY);
  } catch {
    return null;
  }
}

// What the server says

const hear = {
  class({ join, limits, ended, ...message }) {
    students = message.students;
    roster.limits = limits ?? roster.limits;
    showWayIn(join);
    showStudents();
    showEnded(ended);
  },
  error({ expected }) {
    $("done").textContent = `Not done: the server expected ${expected}.`;
  },
};

connection.addEventListener("message", ({ detail }) => hear[detail.type]?.(detail));
connection.addEventListener("state", ({ detail }) => showState(detail));

function showState({ state, code }) {
  $("desk").dataset.state = state;
  $("state-text").textContent = STATES[state];
  $("tell").disabled = state !== "open";
  $("banner").hidden = ["open", "connecting"].includes(state);
  const refused = state === "login" || code === CODE.FORBIDDEN;
  $("banner-text").textContent = refused ? ADDRESS_AGAIN : "The connection is lost. Trying again …";
  $("banner-button").hidden = refused;
}

function showWayIn(join) {
  if ($("address").textContent === join) return;
  for (const place of [$("address"), $("large-address")]) place.textContent = join;
  $("address").href = join;
  $("way-in").hidden = false;
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

// What the teacher does

function order(type, { id, user, slow }) {
  const speed = slow === null ? Number($("speed").value) : null;
  const done = {
    slow: speed === null ? `${user} gets everything at full speed.` : `${user} gets ${speed} bytes a second.`,
    cut: `${user} was cut off without a goodbye, and comes back by itself.`,
    kick: `${user} was sent away with 4002, and comes back only by hand.`,
  };
  const sent = connection.send({ type, id, ...(type === "slow" && { bytes_per_second: speed }) });
  $("done").textContent = sent ? done[type] : "Not done: the connection is lost.";
}

$("rows").addEventListener("click", (event) => {
  const button = event.target.closest("[data-do]");
  if (button) order(button.dataset.do, roster.studentAt(button));
});

$("broadcast").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("announcement").value.trim();
  if (!text || !connection.send({ type: "broadcast", text })) return;
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

// a new address pasted over the old one changes nothing but the fragment, so that the page is not loaded again
addEventListener("hashchange", () => {
  key = keyOfAddress() || key;
  connection.connect();
});

if (key) connection.connect();
else showState({ state: "login" });
