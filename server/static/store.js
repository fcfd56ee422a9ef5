// What this browser keeps from one visit to the next. A frame may have no storage: then nothing is kept.

const ROOMS = "chat.rooms";
const DEVICE = "chat.device";
const NAME = "chat.name";

function read(key) {
  try {
    return JSON.parse(localStorage.getItem(key));
  } catch {
    return null;
  }
}

function write(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // the next visit starts afresh
  }
}

// The same for all tabs of this browser, so that they count as one device.
export function deviceId() {
  let id = read(DEVICE);
  if (typeof id !== "string") {
    id = randomId();
    write(DEVICE, id);
  }
  return id;
}

export function keptRooms() {
  const rooms = read(ROOMS);
  return Array.isArray(rooms) ? rooms.filter((name) => typeof name === "string") : [];
}

export function keepRooms(rooms) {
  write(ROOMS, rooms);
}

export function keptName() {
  const name = read(NAME);
  return typeof name === "string" ? name : "";
}

export function keepName(name) {
  write(NAME, name);
}

export function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
