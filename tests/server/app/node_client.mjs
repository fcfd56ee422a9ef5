// One conversation from Node: node node_client.mjs FOLDER-OF-WS|global ADDRESS TOKEN TEXT; prints what came as JSON.
import { createRequire } from "node:module";

const [from, address, token, text] = process.argv.slice(2);
const options = { headers: { Authorization: `Bearer ${token}` } };
const socket =
  from === "global"
    ? new WebSocket(address)
    : new (createRequire(`${from}/`)("ws"))(address, options);

const heard = [];
socket.addEventListener("message", (event) => {
  const message = JSON.parse(event.data);
  if (message.type === "welcome") socket.send(JSON.stringify({ type: "join", room: "lobby" }));
  if (message.type === "joined") socket.send(JSON.stringify({ type: "say", room: "lobby", text }));
  if (message.type === "message") heard.push(message.text);
});
socket.addEventListener("error", (event) => console.error(event.message ?? "error"));
socket.addEventListener("close", (event) => {
  console.log(JSON.stringify({ heard, code: event.code, reason: event.reason }));
});
