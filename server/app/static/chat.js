// The page: sends what the user does to the server, and applies the server's messages to the rooms and the view.

import { announce, showInbox } from "./bell.js";
import { Bot, promptIn } from "./bot.js";
import { drawAnswer, updateAnswer } from "./bot-view.js";
import { CODE, Connection, backoff, ticketEndpoint } from "./connection.js";
import { Inbox } from "./inbox.js";
import { Room, roomName } from "./rooms.js";
import { deviceId, forgetRoom, forgetRooms, randomId, saveName, saveRoom, savedName, savedRooms } from "./store.js";
import { Throttle } from "./throttle.js";
import * as view from "./view.js";

const { $ } = view;
const FIRST_ROOM = "lobby";
const HISTORY = 50; // messages that are loaded when the user joins a room
const TYPING_EVERY = 3_000; // milliseconds between two "typing" messages
const ASK_WITHIN = 60_000; // milliseconds in which a message to the bot is a question and not a memory
const REQUEST_INTERVAL = 300; // milliseconds between automatic requests; a server allows 5 a second by default

const connection = new Connection(() => ticketEndpoint(deviceId()));
const rooms = new Map(); // name: Room
const pending = new Map(); // id: the request {room, entry} or {inbox} that has no reply yet
const throttle = new Throttle(REQUEST_INTERVAL);
const bot = new Bot(() => ticketEndpoint(deviceId(), "answers"), {
  onChange: showAnswer,
  isChatOpen: () => connection.state === "open",
});
let inbox = new Inbox();
let current = null;
let me = "";
let typedAt = 0;
let justLoggedIn = false; // true until a connection opens

// Messages from the server

const handlers = {
  welcome({ user }) {
    if (me && me !== user) resetUser();
    me = user;
    view.showMe(user);
    showCurrent();
  },
  presence(message) {
    const room = rooms.get(message.room);
    if (!room) return;
    for (const text of room.applyPresence(message)) addNote(room, text);
    if (room === current) view.showPeople(room, me);
  },
  joined({ room: name, position, complete, id }) {
    pending.delete(id);
    const room = rooms.get(name);
    if (!room) return;
    finishJoin(room, { isAllowed: true });
    if (!complete) addNote(room, "You were away for a long time. The oldest messages that you missed have expired.");
    room.position = position;
    resendMessages(room);
  },
  inbox(message) {
    pending.delete(message.id);
    inbox.open(message);
    showInbox(inbox);
  },
  notification(message) {
    inbox.add(message);
    showInbox(inbox);
    if (inbox.isUnread(message)) announce(message.text);
  },
  read(message) {
    inbox.markRead(message);
    showInbox(inbox);
  },
  reset({ room: name, position }) {
    if (!name) {
      inbox.reset(position);
      watch();
      return;
    }
    const room = rooms.get(name);
    if (!room) return;
    addNote(room, "Some messages were lost on the server.");
    room.position = position;
  },
  message({ room: name, user, text, position, time, id }) {
    const room = rooms.get(name);
    if (!room) return;
    if (position) room.position = position;
    room.typing.delete(user);
    const mine = user === me ? pending.get(id)?.entry : undefined; // sent from this window and not from another
    if (mine) {
      pending.delete(id);
      mine.state = "sent";
      view.showEntryState(mine);
    } else {
      const at = time ? new Date(time * 1_000) : new Date();
      add(room, { kind: "message", user, text, at, state: "sent" });
      if ((room !== current || document.hidden) && at > room.enteredAt) room.unread++;
    }
    if (user === me && position) readAnswer(room, text, position, Boolean(mine) || isRecent(time));
    showUnread();
    view.showTyping(current);
  },
  announcement({ text }) {
    if (current) addNote(current, `The teacher: ${text}`);
  },
  stored({ id }) {
    const mine = pending.get(id)?.entry;
    pending.delete(id);
    if (!mine) return;
    mine.state = "sent";
    view.showEntryState(mine);
  },
  typing({ room: name, user }) {
    rooms.get(name)?.markTyping(user);
    view.showTyping(current);
  },
  error({ id, field, expected }) {
    const request = pending.get(id);
    pending.delete(id);
    const reason = `${field ? `${field}: ` : ""}expected ${expected}`;
    if (request?.entry) {
      Object.assign(request.entry, { state: "failed", reason });
      view.showEntryState(request.entry);
    } else if (request?.inbox) {
      setTimeout(() => request.inbox === inbox && throttle.add(watch), backoff(2));
    } else if (request && field === "room") {
      addNote(request.room, `You can't join this room (${reason}).`);
      finishJoin(request.room, { isAllowed: false });
      resendMessages(request.room);
    } else if (request) {
      request.room.joinState = "none";
      setTimeout(() => throttle.add(() => join(request.room)), backoff(2));
    } else if (!field && current) {
      addNote(current, `The server could not read a message of this page (${reason}).`);
    }
  },
};

connection.addEventListener("message", ({ detail }) => handlers[detail.type]?.(detail));

connection.addEventListener("state", ({ detail }) => {
  view.showState(detail);
  if (detail.state === "open") {
    justLoggedIn = false;
    view.showChat();
    if (current) throttle.add(() => join(current));
    throttle.add(watch);
    for (const room of rooms.values()) throttle.add(() => join(room));
    return;
  }
  throttle.clear();
  for (const [id, { entry }] of pending) {
    if (!entry) {
      pending.delete(id);
      continue;
    }
    entry.state = "unsure";
    view.showEntryState(entry);
  }
  for (const room of rooms.values()) {
    room.typing.clear();
    room.joinState = "none";
  }
  if (detail.state === "login") view.showLogin(savedName(), whyLogin(detail));
  // show why, in a banner: a page that never connected would be empty otherwise
  if (detail.state === "waiting" || detail.code === CODE.FORBIDDEN) view.showChat();
});

function whyLogin({ reason }) {
  if (reason) return "Your session has expired. Log in again to continue.";
  // the login succeeded, but the browser has dropped the cookie, as in a frame of another site
  return justLoggedIn ? "This browser doesn't keep your login here. Open this page in its own window." : "";
}

// Requests to the server

function sendRequest(request, message) {
  const id = randomId();
  if (connection.send({ ...message, id })) pending.set(id, request);
  return pending.has(id);
}

// With the last position that we have seen, the server sends everything since; without one, the newest messages.
function join(room) {
  if (room.joinState !== "none" || rooms.get(room.name) !== room) return; // already requested, or left
  const from = room.position ? { after: room.position } : { last: HISTORY };
  if (sendRequest({ room }, { type: "join", room: room.name, ...from })) room.joinState = "requested";
}

// A room that the server refuses must not be requested again at each visit.
function finishJoin(room, { isAllowed }) {
  room.joinState = "answered";
  if (isAllowed) saveRoom(room.name);
  else forgetRoom(room.name);
}

function watch() {
  sendRequest({ inbox }, inbox.watchRequest);
}

// Send messages that were typed before the join was answered, or may have been lost with the connection. The key makes
// sure that each is stored once.
function resendMessages(room) {
  for (const [id, request] of pending) {
    if (request.room === room && request.entry) sendSoon(id, request);
  }
}

function sendSoon(id, request) {
  throttle.add(() => pending.get(id) === request && sendMessage(id, request), { urgent: true });
}

function sendMessage(id, { room, entry }) {
  if (connection.send({ type: "say", room: room.name, text: entry.text, key: id, id })) entry.state = "sending";
  view.showEntryState(entry);
}

function resetUser() {
  bot.close();
  pending.clear();
  inbox = new Inbox();
  for (const room of rooms.values()) {
    Object.assign(room, new Room(room.name), { joinState: room.joinState });
  }
}

function openRoom(name) {
  if (!rooms.has(name)) {
    rooms.set(name, new Room(name));
  }
  show(rooms.get(name));
}

function leave(room) {
  connection.send({ type: "leave", room: room.name });
  rooms.delete(room.name);
  forgetRoom(room.name);
  show(rooms.values().next().value ?? null);
}

function show(room) {
  if (current) current.draft = $("text").value;
  current = room;
  $("text").value = room?.draft ?? "";
  history.replaceState(null, "", room ? `#${encodeURIComponent(room.name)}` : " ");
  showCurrent();
  if (!room) return;
  join(room);
  view.focusText();
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

function addNote(room, text) {
  add(room, { kind: "note", text });
}

// The answers of the bot

function isRecent(time) {
  return Math.abs(Date.now() - time * 1_000) < ASK_WITHIN;
}

function readAnswer(room, text, { epoch, offset }, mayAsk) {
  const prompt = promptIn(text);
  if (!prompt) return;
  const answer = bot.read(`${epoch}:${offset}`, prompt, mayAsk);
  const draw = (item) => drawAnswer(item, answer, (one) => bot.stop(one));
  answer.entry = add(room, { kind: "message", user: "bot", text: "", state: "sent", draw });
  updateAnswer(view.itemOf(answer.entry), answer, { isNew: mayAsk });
}

function showAnswer(answer) {
  answer.entry.text = answer.text;
  updateAnswer(view.itemOf(answer.entry), answer, { isNew: answer.mayAsk });
}

function submitMessage() {
  const text = $("text").value.trim();
  if (!text || !current || connection.state !== "open") return;
  const id = randomId();
  const request = { room: current, entry: add(current, { kind: "message", user: me, text, state: "sending" }) };
  pending.set(id, request);
  if (current.joinState === "answered") { // otherwise it is sent when the join is answered
    if (throttle.hasUrgent) sendSoon(id, request); // after the messages before it
    else sendMessage(id, request);
  }
  $("text").value = "";
  typedAt = 0;
}

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  submitMessage();
  $("text").focus();
});

$("text").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  submitMessage();
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

// on a narrow screen the list of people covers the messages until the user touches something else or presses Escape
$("people-button").addEventListener("click", () => showPanel($("people-button").ariaExpanded !== "true"));
$("log").addEventListener("pointerdown", () => showPanel(false));
$("text").addEventListener("focus", () => showPanel(false));
addEventListener("keydown", (event) => event.key === "Escape" && showPanel(false));

$("join-button").addEventListener("click", () => {
  $("new-room").value = $("join").returnValue = "";
  $("join").showModal();
});

$("join-cancel").addEventListener("click", () => $("join").close());

// not on submit, because the dialog restores the focus when it closes, which is later
$("join").addEventListener("close", () => {
  const name = roomName($("new-room").value);
  if ($("join").returnValue && name) openRoom(name);
});

$("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const error = await logIn($("name").value);
  $("login-error").textContent = error;
  justLoggedIn = !error;
  if (justLoggedIn) connection.connect();
});

$("log-out").addEventListener("click", async () => {
  connection.close();
  bot.close();
  await fetch("login", { method: "DELETE" }).catch(() => null);
  pending.clear();
  inbox = new Inbox();
  showInbox(inbox);
  rooms.clear();
  forgetRooms();
  openRoom(FIRST_ROOM);
  view.showLogin(savedName());
});

async function logIn(name) {
  const body = JSON.stringify({ name });
  const headers = { "Content-Type": "application/json" };
  const response = await fetch("login", { method: "POST", headers, body }).catch(() => null);
  if (response?.ok) {
    saveName(name.trim());
    return "";
  }
  if (!response) return "The server does not answer. Try again.";
  if (response.status === 422) return "A name has letters, digits, spaces and . _ ' - and begins with a letter or digit.";
  if ([404, 405].includes(response.status)) return "This server has no login of its own. Log in on the site that it belongs to.";
  if (response.status === 429) return "Too many people are logging in. Try again in a moment.";
  const { detail } = await response.json().catch(() => ({}));
  return `The server refuses: ${detail ?? response.status}.`;
}

function addressedRoom() {
  try {
    return roomName(decodeURIComponent(location.hash));
  } catch {
    return ""; // not a valid address
  }
}

addEventListener("hashchange", () => {
  const name = addressedRoom();
  if (name && name !== current?.name) openRoom(name);
});

document.addEventListener("visibilitychange", showUnread);
setInterval(() => view.showTyping(current), 1_000);

// Start: open the rooms of the last visit, and the one in the address

for (const name of savedRooms().map(roomName).filter(Boolean)) rooms.set(name, new Room(name));
openRoom(addressedRoom() || FIRST_ROOM);
connection.connect();
