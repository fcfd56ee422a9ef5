"""One feed, followed in several ways at the same time: what each costs, and how soon it knows.

A way is a coroutine function ``follow(url, after, heard)`` that calls ``heard(text)`` for each piece of news after a
position, until it is cancelled. Each gets a tap of its own, so that its bytes are counted on the wire.
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

from .aside import aside
from .inside import inside
from .tap import Tap

__all__ = ["Followed", "draw", "follow_all"]

DEADLINE = 3.0  # seconds until the last news must have been heard

Follow = Callable[[str, Any, Callable[[str], None]], Awaitable[object]]


@dataclass(frozen=True)
class Followed:
    """What one way of following the feed came to."""

    seconds: tuple[float, ...]
    """From each piece of news to its being heard."""
    requests: int
    """HTTP requests, a WebSocket's handshake among them."""
    bytes: int
    """Bytes on the wire, both ways."""
    held: int
    """TCP connections that were open when nothing more happened."""
    lines: int
    """Lines of code of the client, with the functions of the lesson that it calls."""

    @property
    def typical(self) -> float:
        """The median of `seconds`."""
        return median(self.seconds)


async def follow_all(
    ways: Mapping[str, Follow],
    server: BackgroundServer,
    notifications: Notifications,
    *,
    user: str,
    news: int = 10,
    pause: float = 0.1,
) -> dict[str, Followed]:
    """Push so many pieces of news to a user, one after each pause, while every way follows the user's inbox.

    `notifications` are those of the app that `server` serves.

    Raises:
        TimeoutError: somebody did not hear all of it within 3 s after the last.
    """

    async def push(text: str) -> Position:
        return await aside(inside, server, notifications.push(user, kind="news", text=text))

    after, published = asdict(await push("the first")), dict[str, float]()
    heard: dict[str, dict[str, float]] = {name: {} for name in ways}
    with ExitStack() as stack:
        taps = {name: stack.enter_context(Tap(server)) for name in ways}
        following = [
            asyncio.create_task(_call(follow, taps[name].http("/"), after, heard[name]), name=name)
            for name, follow in ways.items()
        ]
        try:
            await _until(lambda: all(tap.conversations for tap in taps.values()), following)
            for number in range(news):
                await asyncio.sleep(pause)
                published[text := f"news {number}"] = perf_counter()
                await push(text)
            await _until(lambda: all(len(times) >= news for times in heard.values()), following)
            held = {name: sum(not one.ended for one in tap.conversations) for name, tap in taps.items()}
        finally:
            for task in following:
                task.cancel()
            await asyncio.wait(following)
        for tap in taps.values():
            tap.settle()
        return {
            name: _followed(follow, taps[name], held[name], published, heard[name]) for name, follow in ways.items()
        }


def draw(followed: Mapping[str, Followed]) -> None:
    """Draw what each way came to, as bars."""
    _, axes = plt.subplots(1, 5, figsize=(11, 2.2), sharey=True, layout="constrained")
    figures: dict[str, Sequence[float]] = {
        "requests": [one.requests for one in followed.values()],
        "bytes on the wire": [one.bytes for one in followed.values()],
        "ms until heard (median)": [1_000 * one.typical for one in followed.values()],
        "connections held": [one.held for one in followed.values()],
        "lines of code": [one.lines for one in followed.values()],
    }
    for axis, (what, values) in zip(axes, figures.items(), strict=True):
        bars = axis.barh(list(followed), values, color="#1d5fd6")
        axis.bar_label(bars, [f"{value:,.3g}" if value < 10 else f"{value:,.0f}" for value in values], padding=3)
        axis.set(xlim=(0, max(values) * 1.45), xticks=[])
        axis.set_title(what, fontsize=10)
    axes[0].invert_yaxis()


async def _call(follow: Follow, url: str, after: Any, times: dict[str, float]) -> None:
    def heard(text: str) -> None:
        times.setdefault(text, perf_counter())

    await follow(url, after, heard)


async def _until(done: Callable[[], bool], following: Sequence[asyncio.Task[None]]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not done():
            for task in following:
                if task.done():
                    task.result()
                    raise RuntimeError(f"{task.get_name()} has stopped following; let it go on until it is cancelled")
            await asyncio.sleep(0.005)


def _followed(
    follow: Follow, tap: Tap, held: int, published: Mapping[str, float], heard: Mapping[str, float]
) -> Followed:
    return Followed(
        seconds=tuple(heard[text] - at for text, at in published.items()),
        requests=len(tap.requests),
        bytes=tap.bytes_up + tap.bytes_down,
        held=held,
        lines=sum(len(inspect.getsource(function).strip().splitlines()) for function in _called(follow)),
    )


def _called(follow: Any) -> set[Any]:
    """A function and all functions of the same module that it calls, directly or not."""
    found, waiting = {follow}, [follow]
    while waiting:
        function = waiting.pop()
        for step in dis.get_instructions(function):
            other = function.__globals__.get(step.argval) if step.opname == "LOAD_GLOBAL" else None
            if inspect.isfunction(other) and other.__module__ == function.__module__ and other not in found:
                found.add(other)
                waiting.append(other)
    return found
