// The bell: the number of unread notifications, and their list. All text goes through textContent, so it is never markup.

import { $ } from "./view.js";

export function showInbox(inbox) {
  const { unread, items } = inbox;
  $("bell-count").hidden = !unread;
  $("bell-count").textContent = unread > 99 ? "99+" : unread || "";
  $("bell").ariaLabel = unread ? `Notifications, ${unread} unread` : "Notifications";
  // a button loses the focus when it is disabled, so move the focus first
  if (!unread && document.activeElement === $("read-all")) $("bell").focus();
  $("read-all").disabled = !unread;
  $("no-notifications").hidden = Boolean(items.length);
  $("notifications").replaceChildren(...items.map((item) => notification(item, inbox.isUnread(item))).reverse());
}

// Tell a screen reader, which does not notice that the bell changes.
export function announce(text) {
  $("news").textContent = text;
}

function notification({ kind, text, time }, isUnread) {
  const item = document.createElement("li");
  item.classList.toggle("fresh", isUnread);
  const at = document.createElement("time");
  at.dateTime = new Date(time * 1_000).toISOString();
  at.textContent = new Date(time * 1_000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  item.append(line("kind", isUnread ? `${kind} · new` : kind), line("what", text), at);
  return item;
}

function line(className, text) {
  const node = document.createElement("p");
  node.className = className;
  node.textContent = text;
  return node;
}
