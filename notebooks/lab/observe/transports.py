"""Follow one inbox over several transports at the same time: what each costs, and how soon it delivers.

A transport is a coroutine function ``follow(url, after, received)``: it calls ``received(text)`` for each notification
after a position, until it is cancelled. Each has a tap of its own, which counts its bytes on the wire.
"""

from __future__ import annotations

import asyncio
import dis
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from statistics import median
from time import perf_counter
from typing import Any

from matplotlib import pyplot as plt

from server import BackgroundServer
from server.broker import Position
from server.notifications import Notifications

from ..drawing.figure import describe_bars, number, show_figure
from ..servers.threads import in_thread
from ..tap.tap import Tap
from .server_loop import run_on_server

__all__ = ["TransportResult", "compare_transports", "plot_transports"]

DEADLINE = 15.0  # seconds after the last push until everything must have been delivered

Follow = Callable[[str, Any, Callable[[str], None]], Awaitable[object]]


@dataclass(frozen=True)
class TransportResult:
    """What one transport has cost; made by `compare_transports`."""

    seconds: tuple[float, ...]
    """For each notification, the seconds from the push until the client had it."""
    requests: int
    """HTTP requests, a WebSocket's handshake among them."""
    bytes: int
    """Bytes on the wire, both ways."""
    held: int
    """TCP connections that were open when nothing more happened."""
    lines: int
    """Lines of code of the client, including the functions of the lesson that it calls."""

    @property
    def typical(self) -> float:
        """The median of `seconds`."""
        return median(self.seconds)


async def compare_transports(
    transports: Mapping[str, Follow],
    server: BackgroundServer,
    notifications: Notifications,
    *,
    user: str,
    news: int = 10,
    pause: float = 0.1,
) -> dict[str, TransportResult]:
    """Push notifications to a user while each transport follows the inbox.

    Example: ``await compare_transports({"polling": poll}, server, notifications, user="ana")``.

    `transports` maps a name to ``follow(url, after, received)``. `notifications` are those of the app that `server`
    serves. `news` is how many are pushed, and `pause` how many seconds pass before each.

    Returns:
        A `TransportResult` for each transport: requests, bytes, seconds, connections, lines of code.

    Raises:
        TimeoutError: a transport had not delivered everything 15 s after the last push.
        RuntimeError: a transport stopped following before it was cancelled.
    """

    async def push(text: str) -> Position:
        return await in_thread(run_on_server, server, notifications.push(user, kind="news", text=text))

    after, published = asdict(await push("the first")), dict[str, float]()
    received: dict[str, dict[str, float]] = {name: {} for name in transports}
    with ExitStack() as stack:
        taps = {name: stack.enter_context(Tap(server)) for name in transports}
        following = [
            asyncio.create_task(_call(follow, taps[name].http("/"), after, received[name]), name=name)
            for name, follow in transports.items()
        ]
        try:
            await _until(lambda: all(tap.conversations for tap in taps.values()), following)
            for number in range(news):
                await asyncio.sleep(pause)
                published[text := f"news {number}"] = perf_counter()
                await push(text)
            await _until(lambda: all(len(times) >= news for times in received.values()), following)
            held = {name: sum(not one.ended for one in tap.conversations) for name, tap in taps.items()}
        finally:
            for task in following:
                task.cancel()
            await asyncio.wait(following)
        for tap in taps.values():
            tap.settle()
        return {
            name: _result(follow, taps[name], held[name], published, received[name])
            for name, follow in transports.items()
        }


def plot_transports(results: Mapping[str, TransportResult]) -> None:
    """Draw what each transport has cost, as bars: ``plot_transports(measured)``."""
    figure, axes = plt.subplots(1, 3, figsize=(9, 2.2), sharey=True, layout="constrained")
    charts: dict[str, dict[str, float]] = {
        "requests": {name: one.requests for name, one in results.items()},
        "bytes on the wire": {name: one.bytes for name, one in results.items()},
        "ms until received (median)": {name: 1_000 * one.typical for name, one in results.items()},
    }
    for axis, (what, values) in zip(axes, charts.items(), strict=True):
        bars = axis.barh(list(values), list(values.values()), color="#1d5fd6")
        axis.bar_label(bars, list(map(number, values.values())), padding=3)
        axis.set(xlim=(0, max(values.values()) * 1.45), xticks=[])
        axis.set_title(what, fontsize=10)
    axes[0].invert_yaxis()
    show_figure(figure, alt="; ".join(describe_bars(what, values) for what, values in charts.items()))


async def _call(follow: Follow, url: str, after: Any, times: dict[str, float]) -> None:
    def received(text: str) -> None:
        times.setdefault(text, perf_counter())

    await follow(url, after, received)


async def _until(done: Callable[[], bool], following: Sequence[asyncio.Task[None]]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not done():
            for task in following:
                if task.done():
                    task.result()
                    raise RuntimeError(f"{task.get_name()} has stopped following; let it go on until it is cancelled")
            await asyncio.sleep(0.005)


def _result(
    follow: Follow, tap: Tap, held: int, published: Mapping[str, float], received: Mapping[str, float]
) -> TransportResult:
    return TransportResult(
        seconds=tuple(received[text] - at for text, at in published.items()),
        requests=len(tap.requests),
        bytes=tap.bytes_up + tap.bytes_down,
        held=held,
        lines=sum(len(inspect.getsource(function).strip().splitlines()) for function in _called(follow)),
    )


def _called(follow: Any) -> set[Any]:
    """Return a function and all functions of the same module that it calls, directly or indirectly."""
    found, waiting = {follow}, [follow]
    while waiting:
        function = waiting.pop()
        for step in dis.get_instructions(function):
            other = function.__globals__.get(step.argval) if step.opname == "LOAD_GLOBAL" else None
            if inspect.isfunction(other) and other.__module__ == function.__module__ and other not in found:
                found.add(other)
                waiting.append(other)
    return found
