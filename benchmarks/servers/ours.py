"""Our outboxes and fan-out, the fast way, or the portable one on some server: `… FD fast|uvicorn|hypercorn|granian`."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

from fastapi import FastAPI, WebSocket
from pydantic import Field

from benchmarks.servers.child import serve_asgi, serve_granian, serve_hypercorn
from server.broadcasting import Audience, Outbox, Prepared, open_outbox
from server.echo import Conversation, converse
from server.messages import Message

app = FastAPI()
audience: Audience[Outbox] = Audience()


class Say(Message):
    """What comes, and goes to everybody; the field is wide, because one measurement sends long messages."""

    type: Literal["say"] = "say"
    id: int
    text: Annotated[str, Field(max_length=100_000)]


async def hear(talk: Conversation, message: Say) -> None:
    """Send what came to everybody."""
    audience.send(Prepared(message.encode()))


@app.websocket("/ws")
async def chat(websocket: WebSocket) -> None:
    """Hold the connection, with its outbox, as long as its conversation lasts."""
    outbox = open_outbox(websocket)
    audience.add(outbox)
    try:
        await converse(websocket, hear, model=Say, writer=outbox.writer)
    finally:
        audience.discard(outbox)


if __name__ == "__main__":
    if sys.argv[2] == "fast":
        from server.wire.protocol import FanoutProtocol

        serve_asgi(app, ws=FanoutProtocol)
    else:
        {"uvicorn": serve_asgi, "hypercorn": serve_hypercorn, "granian": serve_granian}[sys.argv[2]](app)
