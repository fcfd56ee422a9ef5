// What this browser remembers between visits. In a frame there may be no storage; then nothing is remembered.

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
    // no storage: the next visit starts from scratch
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

export function savedRooms() {
  const rooms = read(ROOMS);
  const names = Array.isArray(rooms) ? rooms.filter((name) => typeof name === "string") : [];
  return [...new Set(names.map((name) => name.normalize("NFC")))]; // the server uses NFC too
}

// Another window of this browser has rooms of its own in the same list, so only this one is added or removed.
export function saveRoom(name) {
  const rooms = savedRooms();
  if (!rooms.includes(name)) write(ROOMS, [...rooms, name]);
}

export function forgetRoom(name) {
  write(ROOMS, savedRooms().filter((each) => each !== name));
}

export function forgetRooms() {
  write(ROOMS, []);
}

export function savedName() {
  const name = read(NAME);
  return typeof name === "string" ? name : "";
}

export function saveName(name) {
  write(NAME, name);
}

export function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
