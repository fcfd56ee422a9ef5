"""The two servers that benchmarks/manager.py compares: the tutorial's manager, and ours.

Both hold their connections and do nothing else; each client is a user of its own in one room.
"""

from __future__ import annotations

from itertools import count

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from server.broadcasting import open_outbox
from server.echo import Conversation, converse
from server.manager import Manager
from server.messages import ChatIn, Message

tutorial = FastAPI()
ours = FastAPI()


class TutorialManager:
    """The manager that FastAPI's tutorial made known: a list, and a loop that awaits each send."""

    def __init__(self) -> None:
        self.active: list[WebSocket] = []

    async def connect(self, websocket: WebSocket) -> None:
        """Accept and keep."""
        await websocket.accept()
        self.active.append(websocket)

    def disconnect(self, websocket: WebSocket) -> None:
        """Drop."""
        self.active.remove(websocket)

    async def broadcast(self, text: str) -> None:
        """Send to one after the other."""
        for connection in self.active:
            await connection.send_text(text)


tutorial_manager = TutorialManager()


@tutorial.websocket("/ws")
async def tutorial_chat(websocket: WebSocket) -> None:
    """Hold the connection."""
    await tutorial_manager.connect(websocket)
    try:
        while True:
            await websocket.receive_text()
    except WebSocketDisconnect:
        tutorial_manager.disconnect(websocket)


manager = Manager(connections=100_000)
names = (f"user{number}" for number in count())


@ours.websocket("/ws")
async def our_chat(websocket: WebSocket) -> None:
    """Hold the connection, registered and in a room."""
    outbox = open_outbox(websocket)

    async def on_message(talk: Conversation, message: Message) -> None:
        """Nobody says anything here."""

    async with manager.register(next(names), "device", outbox) as connection:
        manager.join(connection, "lobby")
        await converse(websocket, on_message, model=ChatIn, writer=outbox.writer)
