// The state of one room: its users, messages and unread count. No DOM in here.

import { shorten } from "./text.js";

const KEPT = 2_000; // entries of one room: a thousand messages, and notes of who joined and left; the oldest are dropped
const TYPING_SHOWN = 5_000; // milliseconds that a user is shown as typing
const LONGEST_NAME = 64; // code points, as the server counts

export class Room {
  constructor(name) {
    this.name = name;
    this.entries = []; // {kind: "message" | "note", user, text, at, state}
    this.users = null; // a Set, or null if unknown or too many to list
    this.count = 0;
    this.unread = 0;
    this.draft = "";
    this.position = null; // of the last message, in the room's log
    this.joinState = "none"; // then "requested", and "answered" when the server has said yes or no
    this.enteredAt = new Date(); // older messages don't count as unread
    this.typing = new Map(); // user: when to stop showing it
  }

  add(entry) {
    this.entries.push({ at: new Date(), ...entry });
    if (this.entries.length > KEPT) this.entries.shift();
  }

  // Apply one presence message; return notes about users who joined or left.
  applyPresence({ count, users, joined = [], left = [] }) {
    this.count = count;
    if (users) this.users = new Set(users);
    else if (joined.length || left.length) {
      for (const user of joined) this.users?.add(user);
      for (const user of left) {
        this.users?.delete(user);
        this.typing.delete(user);
      }
    } else this.users = null; // a crowd: the server sends only the number
    return [
      ...(joined.length ? [`${names(joined)} joined`] : []),
      ...(left.length ? [`${names(left)} left`] : []),
    ];
  }

  markTyping(user) {
    this.typing.set(user, Date.now() + TYPING_SHOWN);
  }

  get typingUsers() {
    const now = Date.now();
    for (const [user, until] of this.typing) if (until <= now) this.typing.delete(user);
    return [...this.typing.keys()];
  }
}

export function names(users) {
  if (users.length > 3) return `${users.slice(0, 2).join(", ")} and ${users.length - 2} others`;
  return users.join(", ").replace(/, ([^,]*)$/, " and $1");
}

// Turn what people type into a valid room name.
export function roomName(text) {
  const name = text.normalize("NFC").trim().replace(/^#\s*/, "").replace(/\s+/g, "-");
  return shorten(name.replace(/[^\p{L}\p{Nd}\p{M}_.-]|\p{Default_Ignorable_Code_Point}/gu, ""), LONGEST_NAME);
}
