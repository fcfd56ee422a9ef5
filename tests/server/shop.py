"""A server whose clients order messages, which are put into outboxes; over every way that there is to send them."""

from __future__ import annotations

import asyncio
import queue
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from fastapi import FastAPI, WebSocket
from websockets.sync.client import ClientConnection, connect

from server import BackgroundServer, serve
from server.broadcasting import Outbox, Prepared, fan_out, open_outbox
from server.echo import Conversation, Ended, converse
from server.messages import Message
from server.wire.protocol import EXTENSION, FanoutProtocol
from tests.server.people import DEADLINE

__all__ = ["FAST", "PORTABLE", "Order", "Shop", "order", "until"]

PORTABLE: dict[str, Any] = {"ws": "auto"}
FAST: dict[str, Any] = {"ws": FanoutProtocol}


class Order(Message):
    """What a client of these tests asks for: so many messages at once, of so many bytes, for itself or for all."""

    type: Literal["order"] = "order"
    count: int
    size: int = 1
    keys: int = 0
    for_all: bool = False


@dataclass
class Shop:
    """A server that numbers the messages it delivers, and says how each conversation ended."""

    outbox: dict[str, Any] = field(default_factory=dict)
    """Options of `open_outbox`."""
    then: Callable[[Outbox], object] = len
    """What is done with the outbox after each order, in the same turn of the loop."""
    outboxes: queue.Queue[Outbox] = field(default_factory=queue.Queue)
    protocols: queue.Queue[FanoutProtocol] = field(default_factory=queue.Queue)
    """Of each connection, if the server has ours."""
    ended: queue.Queue[Ended] = field(default_factory=queue.Queue)
    members: dict[Outbox, None] = field(default_factory=dict)
    loop: asyncio.AbstractEventLoop | None = None
    number: int = 0

    @contextmanager
    def open(self, **uvicorn_options: Any) -> Iterator[BackgroundServer]:
        """Serve it on ``/ws``."""
        app = FastAPI()
        app.websocket("/ws")(self._handler)
        with serve(app, **uvicorn_options) as server:
            yield server

    async def _handler(self, websocket: WebSocket) -> None:
        self.loop = asyncio.get_running_loop()
        outbox = open_outbox(websocket, **self.outbox)
        self.members[outbox] = None
        self.outboxes.put(outbox)
        if extension := websocket.scope["extensions"].get(EXTENSION):
            self.protocols.put(extension["connection"])
        try:
            self.ended.put(await converse(websocket, self._take(outbox), model=Order, writer=outbox.writer))
        finally:
            del self.members[outbox]

    def _take(self, outbox: Outbox) -> Callable[[Conversation, Order], Any]:
        async def take(talk: Conversation, order: Order) -> None:
            receivers = list(self.members) if order.for_all else [outbox]
            for _ in range(order.count):
                key = f"key {self.number % order.keys}" if order.keys else None
                fan_out(receivers, Prepared(str(self.number).ljust(order.size), key))
                self.number += 1
            self.then(outbox)

        return take

    @contextmanager
    def visit(self, server: BackgroundServer, **options: Any) -> Iterator[ClientConnection]:
        """A client that reads."""
        with connect(server.url("/ws"), proxy=None, max_queue=None, **options) as client:
            yield client


def order(client: ClientConnection, count: int, size: int = 1, **options: Any) -> None:
    """Order messages."""
    client.send(Order(count=count, size=size, **options).encode())


def numbers(client: ClientConnection, count: int) -> list[int]:
    """The numbers of the next messages."""
    return [int(client.recv(timeout=DEADLINE)) for _ in range(count)]


def until(true: Callable[[], object], server: BackgroundServer | None = None) -> None:
    """Wait until something is so, with a deadline."""
    deadline = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < deadline, server.log if server is not None else ""
        time.sleep(0.005)


def insecure() -> ssl.SSLContext:
    """A client's context that asks for no certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
