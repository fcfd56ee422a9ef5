// What is known about the rooms: who is there, what was said, what is new. No DOM in here.

const KEPT = 2_000; // entries of one room, so that a thousand messages are there with who came and went; the oldest go
const TYPING_SHOWN = 5_000; // milliseconds that somebody is shown as typing

export class Room {
  constructor(name) {
    this.name = name;
    this.entries = []; // {kind: "message" | "note", user, text, at, state}
    this.users = null; // a Set, or null while unknown or too many to name
    this.count = 0;
    this.unread = 0;
    this.draft = "";
    this.position = null; // of the last message, in the room's log
    this.enteredAt = new Date(); // what was said before is not news
    this.typing = new Map(); // user: when to stop showing it
  }

  add(entry) {
    this.entries.push({ at: new Date(), ...entry });
    if (this.entries.length > KEPT) this.entries.shift();
  }

  // Take in one presence message; what it tells of comings and goings.
  present({ count, users, joined = [], left = [] }) {
    this.count = count;
    if (users) this.users = new Set(users);
    else if (joined.length || left.length) {
      for (const user of joined) this.users?.add(user);
      for (const user of left) {
        this.users?.delete(user);
        this.typing.delete(user);
      }
    } else this.users = null; // a crowd: only the number is told
    return [
      ...(joined.length ? [`${names(joined)} joined`] : []),
      ...(left.length ? [`${names(left)} left`] : []),
    ];
  }

  types(user) {
    this.typing.set(user, Date.now() + TYPING_SHOWN);
  }

  get typists() {
    const now = Date.now();
    for (const [user, until] of this.typing) if (until <= now) this.typing.delete(user);
    return [...this.typing.keys()];
  }
}

export function names(users) {
  if (users.length > 3) return `${users.slice(0, 2).join(", ")} and ${users.length - 2} others`;
  return users.join(", ").replace(/, ([^,]*)$/, " and $1");
}

// What people write into a field for a room, as the name of a room.
export function roomName(text) {
  return text.trim().replace(/^#\s*/, "").replace(/\s+/g, "-").replace(/[^\p{L}\p{Nd}\p{M}_.-]|\p{Default_Ignorable_Code_Point}/gu, "").slice(0, 64);
}
