"""The manager that FastAPI's tutorial made known: `… FD uvicorn|hypercorn|granian`."""

from __future__ import annotations

import sys

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from benchmarks.servers.child import serve_asgi, serve_granian, serve_hypercorn

app = FastAPI()


class ConnectionManager:
    """A list, and a loop that awaits each send."""

    def __init__(self) -> None:
        self.active_connections: list[WebSocket] = []

    async def connect(self, websocket: WebSocket) -> None:
        """Accept and keep."""
        await websocket.accept()
        self.active_connections.append(websocket)

    def disconnect(self, websocket: WebSocket) -> None:
        """Drop."""
        self.active_connections.remove(websocket)

    async def broadcast(self, message: str) -> None:
        """Send to one after the other."""
        for connection in self.active_connections:
            await connection.send_text(message)


manager = ConnectionManager()


@app.websocket("/ws")
async def chat(websocket: WebSocket) -> None:
    """Send what comes to everybody."""
    await manager.connect(websocket)
    try:
        while True:
            await manager.broadcast(await websocket.receive_text())
    except WebSocketDisconnect:
        manager.disconnect(websocket)


if __name__ == "__main__":
    {"uvicorn": serve_asgi, "hypercorn": serve_hypercorn, "granian": serve_granian}[sys.argv[2]](app)
