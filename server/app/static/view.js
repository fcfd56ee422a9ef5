// Everything that is visible. Text from users goes through textContent, so it is never markup.

import { avatar } from "./avatar.js";
import { CODE } from "./connection.js";
import { names } from "./rooms.js";

const GROUP_TIME = 5 * 60_000; // milliseconds within which messages of one user are grouped
const NEAR_THE_END = 80; // pixels from the end within which the log scrolls to each new message
const CHUNK = 50; // entries per element, so that a new entry costs the same in a long log as in a short one
const BANNER_DELAY = 1_000; // milliseconds; shorter interruptions show no banner

const STATES = { open: "online", connecting: "connecting", waiting: "offline", stopped: "offline", login: "offline" };
const ENDED = {
  [CODE.FORBIDDEN]: "You may not connect to this server.",
  [CODE.REPLACED]: "You opened the chat in another window or on another device, so this one was disconnected.",
};
const TOO_MUCH = "You were disconnected because too many messages were sent under your name.";
const NOTES = { sending: "sending", unsure: "may not have been sent", failed: "not sent" };

export const $ = (id) => document.getElementById(id);

const items = new WeakMap(); // entry: its element
let bannerTimer = 0;
let drawn = null; // the room whose log is on the page
let shown = 0; // entries of it that are on the page
let following = true; // whether to keep the newest message in view

function element(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

// Login and chat

export function showLogin(name, error = "") {
  $("chat").hidden = true;
  $("login").hidden = false;
  $("name").value ||= name;
  $("login-error").textContent = error;
  focus($("name"));
  document.title = "Chat";
}

export function showChat() {
  if (!$("chat").hidden) return;
  $("login").hidden = true;
  $("chat").hidden = false;
  focusText();
}

export function focusText() {
  // on a phone the keyboard would cover the room
  if (matchMedia("(pointer: fine)").matches) focus($("text"));
}

function focus(field) {
  // in a frame, the user may be typing into the outer page
  if (window.parent === window || document.hasFocus()) field.focus();
}

export function showMe(user) {
  $("my-name").textContent = user;
  avatar(user, $("my-avatar"));
}

// The connection

export function showState({ state, code, reason }) {
  $("chat").dataset.state = state;
  $("state-text").textContent = STATES[state];
  $("send").disabled = state !== "open";
  clearTimeout(bannerTimer);
  if (state === "open") $("banner").hidden = true;
  else if (state === "stopped") banner(whyEnded(code, reason), "Connect again");
  else if (code === CODE.KICKED_FOR_SPAM) banner(`${TOO_MUCH}${serverSays(reason)} Trying again soon …`, "Try now");
  else bannerTimer = setTimeout(banner, BANNER_DELAY, "The connection is lost. Trying again …", "Try now");
}

function whyEnded(code, reason) {
  const ended = ENDED[code] ?? "You are disconnected.";
  return code === CODE.FORBIDDEN ? `${ended}${serverSays(reason)}` : ended;
}

function serverSays(reason) {
  return reason ? ` The server says: ${reason}.` : "";
}

function banner(text, button) {
  $("banner-text").textContent = text;
  $("banner-button").textContent = button;
  $("banner").hidden = false;
}

// The rooms

export function showRooms(rooms, current) {
  $("rooms").replaceChildren(...[...rooms.values()].map((room) => roomItem(room, room === current)));
  $("room-name").textContent = current ? current.name : "No room";
  $("leave").hidden = $("composer").hidden = !current;
  const unread = [...rooms.values()].reduce((sum, room) => sum + room.unread, 0);
  document.title = `${unread ? `(${unread}) ` : ""}${current ? `${current.name} · ` : ""}Chat`;
}

function roomItem(room, isCurrent) {
  const button = element("button", "room", element("span", "name", room.name));
  button.dataset.room = room.name;
  if (isCurrent) button.ariaCurrent = "true";
  if (room.unread) {
    const count = element("span", "unread", String(room.unread));
    count.append(element("span", "sr-only", " new"));
    button.append(count);
  }
  return element("li", "", button);
}

export function showPeople(room, me) {
  const count = room?.count ?? 0;
  $("people-title").textContent = count ? `Here now · ${count}` : "Here now";
  $("people-button").textContent = `${count} here`;
  const users = [...(room?.users ?? [])].sort((a, b) => (b === me) - (a === me) || a.localeCompare(b));
  $("people").replaceChildren(...users.map((user) => person(user, user === me)));
  $("crowd").hidden = !room || Boolean(room.users) || !count;
  $("crowd").textContent = `${count} people, too many to name.`;
}

function person(user, isMe) {
  const name = element("span", "name", user);
  if (isMe) name.append(element("span", "you", " (you)"));
  return element("li", "", avatar(user), name);
}

export function showTyping(room) {
  const users = room?.typingUsers ?? [];
  $("typing").textContent = users.length ? `${names(users)} ${users.length > 1 ? "are" : "is"} typing …` : "";
}

// The log

export function showLog(room, me) {
  drawn = room;
  const log = $("log");
  log.ariaBusy = "true"; // a screen reader must not read the whole room aloud when it is shown
  const entries = room?.entries ?? [];
  log.replaceChildren();
  shown = 0;
  entries.forEach((entry, index) => append(logItem(entry, entries[index - 1], me)));
  if (!entries.length) log.append(element("p", "empty", room ? "No messages yet." : "Join a room to chat."));
  log.ariaBusy = "false";
  toNewest();
}

export function showEntry(room, entry, me) {
  if (room !== drawn) return;
  if (!shown) $("log").replaceChildren();
  append(logItem(entry, room.entries.at(-2), me));
  const most = (following ? 1 : 2) * room.entries.length; // don't remove right away what the user is reading
  while (shown > most) removeOldest();
  if (following || entry.user === me) toNewest();
  else $("newest").hidden = false;
}

function append(item) {
  const log = $("log");
  if ((log.lastElementChild?.childElementCount ?? CHUNK) >= CHUNK) log.append(element("div", "chunk"));
  log.lastElementChild.append(item);
  shown++;
}

function removeOldest() {
  const chunk = $("log").firstElementChild;
  chunk.firstElementChild.remove();
  if (!chunk.childElementCount) chunk.remove();
  shown--;
}

export function showEntryState(entry) {
  const item = items.get(entry);
  if (!item) return;
  item.dataset.sent = entry.state ?? "";
  const note = NOTES[entry.state] ? [NOTES[entry.state], entry.reason].filter(Boolean).join(": ") : "";
  item.querySelector(".sent").textContent = note;
}

export function keepInView() {
  if (following) toNewest();
}

// Return the element of an entry that is on the page.
export function itemOf(entry) {
  return items.get(entry);
}

export function toNewest() {
  following = true;
  $("log").scrollTop = $("log").scrollHeight;
  $("newest").hidden = true;
}

$("log").addEventListener("scroll", () => {
  const log = $("log");
  following = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_THE_END;
  if (following) $("newest").hidden = true;
}, { passive: true });

// a banner, a longer draft or a phone's keyboard shrinks the log
new ResizeObserver(() => following && toNewest()).observe($("log"));

function logItem(entry, before, me) {
  if (entry.kind === "note") return element("p", "note", entry.text);
  const mine = entry.user === me;
  const isGrouped = before?.kind === "message" && before.user === entry.user && entry.at - before.at < GROUP_TIME;
  const item = element("div", "message");
  item.classList.toggle("mine", mine);
  item.classList.toggle("goes-on", isGrouped);
  const time = element("time", "", entry.at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  time.dateTime = entry.at.toISOString();
  const head = element("p", "head", element("span", isGrouped || mine ? "sr-only" : "name", entry.user), " ", time);
  item.append(avatar(entry.user), head, element("p", "text", entry.text), element("p", "sent"));
  items.set(entry, item);
  showEntryState(entry);
  entry.draw?.(item); // what more there is to see of it
  return item;
}
