// The state of the inbox: its notifications, the read mark, and the number of unread ones. No DOM in here.

const KEPT = 100; // notifications that are shown; the oldest are dropped

export class Inbox {
  constructor() {
    this.items = []; // {position, time, kind, text}, oldest first
    this.position = null; // of the last notification; `watch` resumes after it
    this.newest = null; // the newest notification that `unread` counts
    this.read = null; // everything up to here has been read, on any of the user's devices
    this.unread = 0;
  }

  // The request for everything since the last notification, or at first for the newest ones.
  get watchRequest() {
    return this.position ? { type: "watch", after: this.position } : { type: "watch", last: KEPT };
  }

  open({ position, complete, read = null, unread, newest }) {
    const resumes = this.position && complete;
    const items = resumes ? this.items.filter((item) => !isAfter(item.position, position)) : []; // the server sends the rest again
    Object.assign(this, { position, read, unread, newest, items });
  }

  add({ position, time, kind, text }) {
    this.position = position;
    this.items.push({ position, time, kind, text });
    if (this.items.length > KEPT) this.items.shift();
    // `unread` already counts notifications up to `newest`
    if (isAfter(position, this.newest)) {
      this.newest = position;
      this.unread++;
    }
  }

  // Notifications were lost or can't be read: resume after `position`. If the whole log was lost, drop the old ones.
  reset(position) {
    if (position.epoch !== this.position?.epoch) this.items = [];
    this.position = position;
  }

  markRead({ position, unread, newest }) {
    Object.assign(this, { read: position, unread, newest });
  }

  isUnread(item) {
    return isAfter(item.position, this.read);
  }
}

function isAfter(position, other) {
  return position.epoch !== other?.epoch || position.offset > other.offset;
}
