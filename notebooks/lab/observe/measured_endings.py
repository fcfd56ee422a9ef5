"""End a connection in fourteen ways, and see which close code each side gets."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from fastapi import FastAPI, WebSocket, WebSocketException
from websockets.frames import Frame, Opcode
from websockets.sync.client import ClientConnection, connect

from server import BackgroundServer, serve
from server.echo import closing

from ..tap.tap import Tap
from .endings import end_of
from .journal import Journal

__all__ = ["Endings", "measure_endings"]

LIMIT = 1_000  # bytes that the server takes in one message

Provoke = Callable[[ClientConnection, Tap, BackgroundServer], None]


class Endings(dict[str, tuple[str, str]]):
    """What happened, and the close codes that client and server saw; shown as a table."""

    def __str__(self) -> str:
        rows = [f"{client:>6}  {server:>6}  {how}" for how, (client, server) in self.items()]
        return "\n".join(["client  server", *rows])

    __repr__ = __str__


def _send(text: str) -> Provoke:
    return lambda client, tap, server: client.send(text)


def _raw(opcode: Opcode, payload: bytes, *, mask: bool) -> Provoke:
    """Write to the socket itself, past the library."""
    return lambda client, tap, server: client.socket.sendall(Frame(opcode, payload).serialize(mask=mask))


WAYS: dict[str, Provoke] = {
    "the handler returns": _send("return"),
    "the handler raises": _send("raise"),
    "the client leaves its page": lambda client, tap, server: client.close(1001),
    "the client closes without a code": _raw(Opcode.CLOSE, b"", mask=True),
    "the connection is reset": lambda client, tap, server: tap.reset(),
    "the server stops": lambda client, tap, server: server.stop(),
    "the client forgets to mask": _raw(Opcode.TEXT, b"hi", mask=False),
    "the client's text is not UTF-8": _raw(Opcode.TEXT, b"\xff", mask=True),
    "the client sends 2,000 bytes, where 1,000 are allowed": _send("x" * 2 * LIMIT),
    "the server takes no binary": _send("1003"),
    "the client breaks a rule": _send("1008"),
    "the server gives a reason of 124 bytes": _send("long"),
    "ours: log in first": _send("4001"),
    "ours: kicked for spam": _send("4002"),
}


def measure_endings(*, first: int | None = None) -> Endings:
    """End a connection in fourteen ways, and return the close codes that both sides see: ``measure_endings()``.

    Only the `first` ways are tried, if that is given: ``measure_endings(first=6)``.

    The handler uses `closing` of ``server.echo``, so it always sends a close frame where it can. The server's code
    is the one that `closing` reports afterwards. All of them together take about a second.

    Returns:
        A dict from what happened to the codes of client and server; a notebook shows it as a table.
    """
    saw = Journal()

    async def careful(websocket: WebSocket) -> None:
        try:
            async with closing(websocket) as ended:
                await _obey(websocket)
        finally:
            saw.record(ended.code)

    app = FastAPI()
    app.websocket("/ws")(careful)
    found = Endings()
    for how, provoke in islice(WAYS.items(), first):
        saw.clear()
        with (
            serve(app, ws_max_size=LIMIT) as server,
            Tap(server) as tap,
            connect(tap.url("/ws"), proxy=None) as client,
        ):
            provoke(client, tap, server)
            found[how] = str(end_of(client)), str(saw.wait(rows=1))
    return found


async def _obey(websocket: WebSocket) -> None:
    await websocket.accept()
    while (order := await websocket.receive_text()) != "return":
        if order == "raise":
            raise RuntimeError("a bug")
        if order == "long":
            await websocket.close(4001, "x" * 124)
        if order.isdigit():
            raise WebSocketException(int(order))
