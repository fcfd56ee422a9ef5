"""Compare strategies of a broadcast: what each costs, how fast it is, and what one stalled client does to it.

A strategy is a pair of functions: ``{"loop": (loop, nullcontext)}``. ``await broadcast(members, text)`` sends a text
to every member of a list. ``make_member(websocket)`` returns what is in that list for a connection, or an async
context manager that makes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager, nullcontext
from typing import Any, NamedTuple

from matplotlib import pyplot as plt
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from server import BackgroundServer, serve
from server.wire.protocol import FanoutProtocol

from ..clients.listeners import Audience
from ..drawing.figure import describe_bars, number, show_figure
from .server_loop import CallCost, cpu_seconds, measure_call, run_on_server
from .slow_client import PHOTO

__all__ = ["draw_bars", "measure_cost", "measure_stalled", "measure_throughput"]

MESSAGES = 10  # sent one after the other without a pause, as in a room where people talk
SOON = 0.3  # seconds in which the messages of a broadcast that was given up are read; they have arrived by then
LATE = 15.0  # seconds that messages may take to arrive otherwise
OURS, OTHERS = "#1d5fd6", "#a9b3c1"  # colours of bars
TURNS = 10_000  # passes of the loop in which every connection becomes a member, and after which a broadcast is given up

Broadcast = Callable[[Sequence[Any], str], Coroutine[Any, Any, None]]
MakeMember = Callable[[WebSocket], Any]
Strategies = Mapping[str, tuple[Broadcast, MakeMember]]


def measure_cost(
    broadcast: Broadcast,
    text: str,
    *,
    sizes: Sequence[int],
    make_member: MakeMember = nullcontext,
    deflate: bool = False,
) -> list[CallCost]:
    """Measure what one broadcast costs on the server's loop: ``measure_cost(loop, "x" * 128, sizes=[10, 100])``.

    `broadcast` is a coroutine function that sends a text to every member of a list: ``await broadcast(members, text)``.
    `make_member` makes a member of a connection: a function, or an async context manager. By default, members are
    Starlette's WebSockets. If `deflate` is true, the clients offer compression, as browsers do.

    Returns:
        A `CallCost` for each number of clients in `sizes`: seconds, turns of others, frames made, messages compressed.
    """
    with _set_up({"": (broadcast, make_member)}, max(sizes), deflate=deflate) as setup:
        return [measure_call(setup.server, broadcast, setup.members[make_member][:size], text) for size in sizes]


def measure_throughput(
    strategies: Strategies, text: str, *, sizes: Sequence[int] = (10, 100, 1_000)
) -> dict[str, list[float]]:
    """Measure deliveries per second of the server's processor.

    Example: ``measure_throughput({"loop": (loop, nullcontext)}, "hi")``.

    `strategies` maps a name to a pair of `broadcast` and `make_member`, see `measure_cost`. Each strategy sends ten
    messages without a pause. Clients count what they receive, and the clock stops when the
    last client has the last message. It is the processor time of the server's thread, because the clients run on the
    same machine. The name of each strategy is printed when it is done.

    Returns:
        For each strategy a list with one rate for each number of clients in `sizes`.

    Raises:
        TimeoutError: a client did not receive all messages within 15 s.
    """
    rates: dict[str, list[float]] = {}
    with _set_up(strategies, max(sizes)) as setup:
        print("every message has reached everybody by:", end="")
        for name, (broadcast, make_member) in strategies.items():
            rates[name] = []
            for size in sizes:
                before = cpu_seconds(setup.server)
                run_on_server(setup.server, _send_all(broadcast, setup.members[make_member][:size], text))
                setup.audience.receive(MESSAGES, among=slice(size), timeout=LATE)
                rates[name].append(MESSAGES * size / (cpu_seconds(setup.server) - before))
            print("" if len(rates) == 1 else ",", name, end="\n" if len(rates) == len(strategies) else "")
    return rates


def measure_stalled(strategies: Strategies, text: str, *, size: int = 50) -> dict[str, int]:
    """Stall the first of `size` clients, and count what the others receive: ``measure_stalled(strategies, "hi")``.

    `strategies` are those of `measure_throughput`. Each sends ten messages. A broadcast that doesn't return is given
    up after 10,000 passes of the server's loop.

    Returns:
        For each strategy, how many of the ten messages every other client has received.
    """
    received = {}
    with _set_up(strategies, size) as setup:
        run_on_server(setup.server, setup.connections[0].send_text(PHOTO))
        for name, (broadcast, make_member) in strategies.items():
            returned = run_on_server(setup.server, _returns(_send_all(broadcast, setup.members[make_member], text)))
            wait = LATE if returned else SOON
            received[name] = setup.audience.count_received(MESSAGES, among=slice(1, None), timeout=wait)
    return received


def draw_bars(values: Mapping[str, float], what: str, *, ours: str = "") -> None:
    """Draw one bar for each value, with its number: ``draw_bars({"loop": 900, "outbox": 2_100}, "messages a second")``.

    The first stands at the top, and `what` is the label of the axis, which begins at 0. The bar that is named `ours`
    is blue, the others are grey; without it, all are blue.
    """
    # a picture of 64 KiB or more would make the kernel's sockets start a thread
    figure, axis = plt.subplots(figsize=(7, 0.6 + 0.34 * len(values)), dpi=75, layout="constrained")
    colors = [OURS if name == ours or not ours else OTHERS for name in values]
    bars = axis.barh(list(values), list(values.values()), color=colors)
    axis.bar_label(bars, list(map(number, values.values())), padding=4)
    axis.set(xlabel=what, xlim=(0, 1.15 * max(values.values())), xticks=[])  # the bars say their numbers
    axis.invert_yaxis()
    axis.spines[["top", "right"]].set_visible(False)
    show_figure(figure, alt=describe_bars(what, values))


class _Setup(NamedTuple):
    """A server and its clients; members and connections are in the order of the audience."""

    server: BackgroundServer
    audience: Audience
    connections: list[WebSocket]
    members: dict[MakeMember, list[Any]]


@contextmanager
def _set_up(strategies: Strategies, size: int, *, deflate: bool = False) -> Iterator[_Setup]:
    makers = dict.fromkeys(make_member for _, make_member in strategies.values())
    present: dict[int, tuple[WebSocket, list[Any]]] = {}

    async def handle(websocket: WebSocket) -> None:
        await websocket.accept()
        async with AsyncExitStack() as stack:
            members = [await _entered(stack, make_member(websocket)) for make_member in makers]
            assert websocket.client is not None
            present[websocket.client.port] = websocket, members
            await websocket.receive()

    async def wait_for_all() -> None:
        for _ in range(TURNS):
            if len(present) == size:
                return
            await asyncio.sleep(0)

    app = Starlette(routes=[WebSocketRoute("/ws", handle)])
    with serve(app, ws=FanoutProtocol) as server, Audience(server.url("/ws"), size, deflate=deflate) as audience:
        run_on_server(server, wait_for_all())
        rows = [present[port] for port in audience.ports]
        members = {make_member: [row[place] for _, row in rows] for place, make_member in enumerate(makers)}
        yield _Setup(server, audience, [connection for connection, _ in rows], members)


async def _entered(stack: AsyncExitStack, made: Any) -> Any:
    if isinstance(made, AbstractAsyncContextManager):
        return await stack.enter_async_context(made)
    return made


async def _returns(sending: Coroutine[Any, Any, None]) -> bool:
    """Run it for `TURNS` passes of the loop at most, and return whether it came to its end."""
    task = asyncio.create_task(sending)
    for _ in range(TURNS):
        if task.done():
            break
        await asyncio.sleep(0)
    returned = task.done()
    task.cancel()
    await asyncio.wait([task])
    if returned:
        task.result()
    return returned


async def _send_all(broadcast: Broadcast, members: Sequence[Any], text: str) -> None:
    for _ in range(MESSAGES):
        await broadcast(members, text)
