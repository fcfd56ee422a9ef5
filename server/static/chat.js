// The page: what the user does goes to the connection, what the connection says goes to the rooms and the view.

import { announce, showInbox } from "./bell.js";
import { Connection, backoff, withTicket } from "./connection.js";
import { Inbox } from "./inbox.js";
import { Room, roomName } from "./rooms.js";
import { deviceId, keepName, keepRooms, keptName, keptRooms, randomId } from "./store.js";
import * as view from "./view.js";

const { $ } = view;
const FIRST_ROOM = "lobby";
const HISTORY = 50; // messages that a newcomer to a room sees
const TYPING_EVERY = 3_000; // milliseconds between two "I am typing"

const connection = new Connection(() => withTicket(deviceId()));
const rooms = new Map(); // name: Room
const asked = new Map(); // id: {entry, room} that was asked for with it, until the answer comes
let inbox = new Inbox();
let current = null;
let me = "";
let typedAt = 0;
let loggedIn = false; // a moment ago, and no connection has come of it yet

// What the server says

const hear = {
  welcome({ user }) {
    if (me && me !== user) forget();
    me = user;
    view.showMe(user);
    showCurrent();
  },
  presence(message) {
    const room = rooms.get(message.room);
    if (!room) return;
    for (const text of room.present(message)) note(room, text);
    if (room === current) view.showPeople(room, me);
  },
  joined({ room: name, position, complete, id }) {
    asked.delete(id);
    const room = rooms.get(name);
    if (!room) return;
    if (!complete) note(room, "You were away for long. The oldest of what you missed is kept no longer.");
    room.position = position;
    sayAgain(room);
  },
  inbox(message) {
    asked.delete(message.id);
    inbox.opened(message);
    showInbox(inbox);
  },
  notification(message) {
    inbox.add(message);
    showInbox(inbox);
    if (inbox.isUnread(message)) announce(message.text);
  },
  read(message) {
    inbox.marked(message);
    showInbox(inbox);
  },
  reset({ room: name, position }) {
    if (!name) {
      inbox = new Inbox();
      watch();
      return;
    }
    const room = rooms.get(name);
    if (!room) return;
    note(room, "The server has lost some messages.");
    room.position = position;
  },
  message({ room: name, user, text, position, time, id }) {
    const room = rooms.get(name);
    if (!room) return;
    if (position) room.position = position;
    room.typing.delete(user);
    const mine = user === me ? asked.get(id)?.entry : undefined; // said here, and not in another window
    if (mine) {
      asked.delete(id);
      mine.state = "sent";
      view.showEntryState(mine);
    } else {
      const at = time ? new Date(time * 1_000) : new Date();
      add(room, { kind: "message", user, text, at, state: "sent" });
      if ((room !== current || document.hidden) && at > room.enteredAt) room.unread++;
    }
    showUnread();
    view.showTyping(current);
  },
  announcement({ text }) {
    if (current) note(current, `The teacher: ${text}`);
  },
  stored({ id }) {
    const mine = asked.get(id)?.entry;
    asked.delete(id);
    if (!mine) return;
    mine.state = "sent";
    view.showEntryState(mine);
  },
  typing({ room: name, user }) {
    rooms.get(name)?.types(user);
    view.showTyping(current);
  },
  error({ id, field, expected }) {
    const question = asked.get(id);
    asked.delete(id);
    const reason = `${field ? `${field}: ` : ""}expected ${expected}`;
    if (question?.entry) {
      Object.assign(question.entry, { state: "failed", reason });
      view.showEntryState(question.entry);
    } else if (question?.inbox) {
      setTimeout(() => question.inbox === inbox && watch(), backoff(2));
    } else if (question && field === "room") {
      note(question.room, `You cannot come in (${reason}).`);
    } else if (question) {
      setTimeout(() => rooms.get(question.room.name) === question.room && join(question.room), backoff(2));
    }
  },
};

connection.addEventListener("message", ({ detail }) => hear[detail.type]?.(detail));

connection.addEventListener("state", ({ detail }) => {
  view.showState(detail);
  if (detail.state === "open") {
    loggedIn = false;
    view.showChat();
    for (const room of rooms.values()) join(room);
    watch();
    return;
  }
  for (const [id, { entry }] of asked) {
    if (!entry) {
      asked.delete(id);
      continue;
    }
    entry.state = "unsure";
    view.showEntryState(entry);
  }
  for (const room of rooms.values()) room.typing.clear();
  if (detail.state === "login") view.showLogin(keptName(), whyLogin(detail));
  if (detail.state === "waiting") view.showChat(); // it says so, and what was said comes when it is back
});

function whyLogin({ reason }) {
  if (reason) return "Your session has ended. Log in again to go on.";
  // a frame of another site, or a browser that was told so: the login went well, and was forgotten at once
  return loggedIn ? "This browser keeps no session here. Open this page in a window of its own." : "";
}

// What the user does

function ask(question, message) {
  const id = randomId();
  if (connection.send({ ...message, id })) asked.set(id, question);
  return asked.has(id);
}

// With the position that was seen last the server sends what was said since; without one, the end of the talk.
function join(room) {
  const from = room.position ? { after: room.position } : { last: HISTORY };
  ask({ room }, { type: "join", room: room.name, ...from });
}

function watch() {
  ask({ inbox }, inbox.wish);
}

// What may or may not have reached the server before the connection was lost: its key makes sure that it is said once.
function sayAgain(room) {
  for (const [id, question] of asked) {
    if (question.room === room && question.entry) tell(id, question);
  }
}

function tell(id, { room, entry }) {
  if (connection.send({ type: "say", room: room.name, text: entry.text, key: id, id })) entry.state = "sending";
  view.showEntryState(entry);
}

function forget() {
  asked.clear();
  inbox = new Inbox();
  for (const room of rooms.values()) Object.assign(room, new Room(room.name));
}

function enter(name) {
  if (!rooms.has(name)) {
    rooms.set(name, new Room(name));
    keepRooms([...rooms.keys()]);
    join(rooms.get(name));
  }
  show(rooms.get(name));
}

function leave(room) {
  connection.send({ type: "leave", room: room.name });
  rooms.delete(room.name);
  keepRooms([...rooms.keys()]);
  show(rooms.values().next().value ?? null);
}

function show(room) {
  if (current) current.draft = $("text").value;
  current = room;
  $("text").value = room?.draft ?? "";
  history.replaceState(null, "", room ? `#${encodeURIComponent(room.name)}` : " ");
  showCurrent();
  if (room) view.focusText();
}

function showCurrent() {
  if (current) current.unread = 0;
  view.showRooms(rooms, current);
  view.showLog(current, me);
  view.showPeople(current, me);
  view.showTyping(current);
}

function showUnread() {
  if (current && !document.hidden) current.unread = 0;
  view.showRooms(rooms, current);
}

function add(room, entry) {
  room.add(entry);
  view.showEntry(room, room.entries.at(-1), me);
  return room.entries.at(-1);
}

function note(room, text) {
  add(room, { kind: "note", text });
}

function say() {
  const text = $("text").value.trim();
  if (!text || !current || connection.state !== "open") return;
  const id = randomId();
  asked.set(id, { room: current, entry: add(current, { kind: "message", user: me, text, state: "sending" }) });
  tell(id, asked.get(id));
  $("text").value = "";
  typedAt = 0;
}

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  say();
  $("text").focus();
});

$("text").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  say();
});

$("text").addEventListener("input", () => {
  if (!current || !$("text").value || Date.now() - typedAt < TYPING_EVERY) return;
  if (connection.send({ type: "typing", room: current.name })) typedAt = Date.now();
});

$("rooms").addEventListener("click", (event) => {
  const button = event.target.closest("[data-room]");
  if (button) show(rooms.get(button.dataset.room));
});

$("leave").addEventListener("click", () => leave(current));
$("banner-button").addEventListener("click", () => connection.connect());
$("newest").addEventListener("click", view.toNewest);
$("read-all").addEventListener("click", () => connection.send({ type: "ack", position: inbox.newest }));

function showPanel(open) {
  $("chat").classList.toggle("with-people", open);
  $("people-button").ariaExpanded = String(open);
}

// on a narrow screen the people lie over the messages until something else is touched, or Escape is pressed
$("people-button").addEventListener("click", () => showPanel($("people-button").ariaExpanded !== "true"));
$("log").addEventListener("pointerdown", () => showPanel(false));
$("text").addEventListener("focus", () => showPanel(false));
addEventListener("keydown", (event) => event.key === "Escape" && showPanel(false));

$("join-button").addEventListener("click", () => {
  $("new-room").value = $("join").returnValue = "";
  $("join").showModal();
});

$("join-cancel").addEventListener("click", () => $("join").close());

// not on submit: the dialog gives the focus back when it closes, and that is after
$("join").addEventListener("close", () => {
  const name = roomName($("new-room").value);
  if ($("join").returnValue && name) enter(name);
});

$("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const error = await logIn($("name").value);
  $("login-error").textContent = error;
  loggedIn = !error;
  if (loggedIn) connection.connect();
});

$("log-out").addEventListener("click", async () => {
  connection.close();
  await fetch("login", { method: "DELETE" }).catch(() => null);
  asked.clear();
  inbox = new Inbox();
  showInbox(inbox);
  rooms.clear();
  keepRooms([]);
  enter(FIRST_ROOM);
  view.showLogin(keptName());
});

async function logIn(name) {
  const body = JSON.stringify({ name });
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch("login", { method: "POST", headers, body }).catch(() => null);
  if (answer?.ok) {
    keepName(name.trim());
    return "";
  }
  if (!answer) return "The server does not answer. Try again.";
  if (answer.status === 422) return "A name has letters, digits, spaces and . _ ' - and begins with a letter or digit.";
  if ([404, 405].includes(answer.status)) return "This server has no login of its own. Log in where its name is.";
  if (answer.status === 429) return "Too many log in at once. Try again in a moment.";
  return `The server refuses (${answer.status}).`;
}

function addressedRoom() {
  try {
    return roomName(decodeURIComponent(location.hash));
  } catch {
    return ""; // not every address is one of ours
  }
}

addEventListener("hashchange", () => {
  const name = addressedRoom();
  if (name && name !== current?.name) enter(name);
});

document.addEventListener("visibilitychange", showUnread);
setInterval(() => view.showTyping(current), 1_000);

// The beginning: the rooms of the last visit, and the one that the address names

for (const name of [...keptRooms(), addressedRoom() || FIRST_ROOM].map(roomName).filter(Boolean)) enter(name);
connection.connect();
