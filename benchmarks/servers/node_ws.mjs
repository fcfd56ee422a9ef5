// The `ws` library of Node.js, and the loop that its documentation gives for a broadcast.
import http from "node:http";
import { WebSocket, WebSocketServer } from "ws";

const server = http.createServer();
const hall = new WebSocketServer({ server });

hall.on("connection", (client) => {
  client.on("error", () => {});
  client.on("message", (data, binary) => {
    for (const other of hall.clients) {
      if (other.readyState === WebSocket.OPEN) other.send(data, { binary });
    }
  });
});

process.stdin.on("end", () => process.exit(0)).resume();
server.listen({ fd: Number(process.argv[2]) }, () => console.log("ready"));
