"""Our side of benchmarks/manager.py: it holds its connections, each a user of its own, in one room."""

from __future__ import annotations

from itertools import count

from fastapi import FastAPI, WebSocket

from server.broadcasting import open_outbox
from server.echo import Conversation, converse
from server.manager import Manager
from server.messages import ChatIn, Message

app = FastAPI()
manager = Manager(connections=100_000)
names = (f"user{number}" for number in count())


@app.websocket("/ws")
async def our_chat(websocket: WebSocket) -> None:
    """Hold the connection, registered and in a room."""
    outbox = open_outbox(websocket)

    async def on_message(talk: Conversation, message: Message) -> None:
        """Nobody says anything here."""

    async with manager.register(next(names), "device", outbox) as connection:
        manager.join(connection, "lobby")
        await converse(websocket, on_message, model=ChatIn, writer=outbox.writer)
