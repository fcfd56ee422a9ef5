"""Ways to tell everybody: what each costs, how fast it is, and what one who stalls does to it.

A way is a broadcast and a seat: ``{"loop": (loop, nullcontext)}``. The broadcast tells a list of members
a text, the seat makes a member of a connection, as an async context manager.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager, nullcontext, suppress
from typing import Any, NamedTuple

from matplotlib import pyplot as plt
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from server import BackgroundServer, serve
from server.frames import FanoutProtocol

from .audience import Audience
from .inside import Measured, inside, measured, spent
from .tunnel import PHOTO

__all__ = ["chart", "price", "race", "stragglers"]

MESSAGES = 10  # that are under way at the same time, as in any room where people talk
PATIENCE = 0.4  # seconds until a broadcast is given up that stands still
SOON = 0.3  # seconds that its messages may still be on their way then
LATE = 3.0  # seconds that messages may be on their way otherwise
TURNS = 10_000  # passes of the loop in which everybody takes a seat

Broadcast = Callable[[Sequence[Any], str], Coroutine[Any, Any, None]]
Seat = Callable[[WebSocket], AbstractAsyncContextManager[Any]]
Ways = Mapping[str, tuple[Broadcast, Seat]]


def price(
    broadcast: Broadcast, text: str, *, sizes: Sequence[int], seat: Seat = nullcontext, deflate: bool = False
) -> list[Measured]:
    """What one message costs on the server's loop, for each number of listeners."""
    with _hall({"": (broadcast, seat)}, max(sizes), deflate=deflate) as hall:
        return [measured(hall.server, broadcast, hall.members[seat][:size], text) for size in sizes]


def race(ways: Ways, text: str, *, sizes: Sequence[int] = (10, 100, 1_000)) -> dict[str, list[float]]:
    """Tell ten messages at a time by each way: for each size, deliveries for a second of the server's processor.

    Every delivery is counted by the listener who gets it, and the time is taken when the last has the last: that of
    the server's thread, for the listeners read on the same machine. The name of a way is printed when that is done.

    Raises:
        TimeoutError: somebody did not get all of them within 3 s.
    """
    rates: dict[str, list[float]] = {}
    with _hall(ways, max(sizes)) as hall:
        print("everybody has heard everything by:", end="")
        for name, (broadcast, seat) in ways.items():
            rates[name] = []
            for size in sizes:
                before = spent(hall.server)
                inside(hall.server, _tell(broadcast, hall.members[seat][:size], text))
                hall.audience.hear(MESSAGES, among=slice(size))
                rates[name].append(MESSAGES * size / (spent(hall.server) - before))
            print("" if len(rates) == 1 else ",", name, end="\n" if len(rates) == len(ways) else "")
    return rates


def stragglers(ways: Ways, text: str, *, size: int = 50) -> dict[str, int]:
    """Let the first of so many listeners read nothing: for each way, how many of ten messages the others hear.

    A broadcast that stands still is given up after 0.4 s.
    """
    heard = {}
    with _hall(ways, size) as hall:
        inside(hall.server, hall.connections[0].send_text(PHOTO))
        for name, (broadcast, seat) in ways.items():
            wait = SOON
            with suppress(TimeoutError):
                inside(hall.server, _tell(broadcast, hall.members[seat], text), timeout=PATIENCE)
                wait = LATE
            heard[name] = hall.audience.heard(MESSAGES, among=slice(1, None), timeout=wait)
    return heard


def chart(lines: Mapping[str, Sequence[float]], sizes: Sequence[int], what: str) -> None:
    """Draw what was measured against the number of clients; more than one line, on logarithmic scales."""
    size = (7, 2.4 if len(lines) == 1 else 3.6)
    # a picture of 64 KiB or more would make the kernel's sockets start a thread
    figure, axis = plt.subplots(figsize=size, dpi=75, layout="constrained")
    for name, values in lines.items():
        axis.plot(sizes, values, marker="o", label=name)
    axis.set(xlabel="clients", ylabel=what)
    if len(lines) > 1:
        axis.set(xscale="log", yscale="log")
        figure.legend(loc="outside right upper")


class _Hall(NamedTuple):
    """Listeners, and in the order of the audience what each seat has made of their connections."""

    server: BackgroundServer
    audience: Audience
    connections: list[WebSocket]
    members: dict[Seat, list[Any]]


@contextmanager
def _hall(ways: Ways, size: int, *, deflate: bool = False) -> Iterator[_Hall]:
    seats = dict.fromkeys(seat for _, seat in ways.values())
    present: dict[int, tuple[WebSocket, list[Any]]] = {}

    async def sit(websocket: WebSocket) -> None:
        await websocket.accept()
        async with AsyncExitStack() as stack:
            members = [await stack.enter_async_context(seat(websocket)) for seat in seats]
            assert websocket.client is not None
            present[websocket.client.port] = websocket, members
            await websocket.receive()

    async def all_are_seated() -> None:
        for _ in range(TURNS):
            if len(present) == size:
                return
            await asyncio.sleep(0)

    app = Starlette(routes=[WebSocketRoute("/ws", sit)])
    with serve(app, ws=FanoutProtocol) as server, Audience(server.url("/ws"), size, deflate=deflate) as audience:
        inside(server, all_are_seated())
        rows = [present[port] for port in audience.ports]
        members = {seat: [row[place] for _, row in rows] for place, seat in enumerate(seats)}
        yield _Hall(server, audience, [connection for connection, _ in rows], members)


async def _tell(broadcast: Broadcast, members: Sequence[Any], text: str) -> None:
    for _ in range(MESSAGES):
        await broadcast(members, text)
