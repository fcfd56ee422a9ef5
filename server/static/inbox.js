// What is known about the inbox: what came, up to where it has been read, and how much is unread. No DOM in here.

const KEPT = 100; // notifications that are shown; the oldest go

export class Inbox {
  constructor() {
    this.items = []; // {position, time, kind, text}, oldest first
    this.position = null; // of the last notification, to go on after it
    this.newest = null; // what `unread` counts up to
    this.read = null; // everything up to here has been read, on any device
    this.unread = 0;
  }

  // What to ask the server for: what came since, or at first the last few.
  get wish() {
    return this.position ? { type: "watch", after: this.position } : { type: "watch", last: KEPT };
  }

  opened({ position, complete, read = null, unread, newest }) {
    const goesOn = this.position && complete;
    Object.assign(this, { position, read, unread, newest, items: goesOn ? this.items : [] });
  }

  add({ position, time, kind, text }) {
    this.position = position;
    this.items.push({ position, time, kind, text });
    if (this.items.length > KEPT) this.items.shift();
    // what was counted when the server told how much is unread is not counted again
    if (isAfter(position, this.newest)) {
      this.newest = position;
      this.unread++;
    }
  }

  marked({ position, unread, newest }) {
    Object.assign(this, { read: position, unread, newest });
  }

  isUnread(item) {
    return isAfter(item.position, this.read);
  }
}

function isAfter(position, other) {
  return position.epoch !== other?.epoch || position.offset > other.offset;
}
