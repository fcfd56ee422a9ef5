"""A look into a server: run a coroutine of the lesson on the loop where its handlers live, and measure it there."""

from __future__ import annotations

import asyncio
import cProfile
import pstats
import sys
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from time import perf_counter, thread_time
from typing import Any, TypeVar

from server import BackgroundServer

__all__ = ["Measured", "inside", "measured", "spent"]

T = TypeVar("T")

FRAME_MAKER = "serialize"  # of websockets.frames.Frame
COMPRESSOR = "<method 'compress' of 'zlib.Compress' objects>"
# the processor's time of one thread, whatever else the machine does; on Windows it ticks 64 times a second
_clock = perf_counter if sys.platform == "win32" else thread_time


def inside(server: BackgroundServer, doing: Coroutine[Any, Any, T], *, timeout: float = 3.0) -> T:
    """Run a coroutine on the server's loop, as a handler of its own would, and return its result.

    The calling thread waits for it. What is not done in time is cancelled.

    Raises:
        TimeoutError: it was not done within `timeout` seconds.
        RuntimeError: the server has stopped.
    """
    if not server.alive:
        doing.close()
        raise RuntimeError("the server has stopped; serve the app again")
    future = asyncio.run_coroutine_threadsafe(doing, server._loop)
    try:
        return future.result(timeout)
    except TimeoutError:
        future.cancel()
        raise TimeoutError(f"{getattr(doing, '__name__', 'it')} was not done within {timeout:g} s") from None


@dataclass(frozen=True)
class Measured:
    """What one call cost on the server's loop."""

    seconds: float
    """Of the processor, in the shortest of all runs."""
    turns: int
    """In how many runs anybody else on the loop had a turn before it was done."""
    frames: int
    """How many frames it made, by a profiler."""
    compressed: int
    """How many messages it compressed, by a profiler."""


def measured(server: BackgroundServer, call: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> Measured:
    """Call a coroutine function on the server's loop, a few times with a clock, and once with a profiler.

    Raises:
        TimeoutError: it was not done within 3 s.
    """
    runs = [inside(server, _timed(call, *args)) for _ in range(9)]
    calls = inside(server, _profiled(call, *args))
    seconds, turns = min(seconds for seconds, _ in runs), sum(turn for _, turn in runs)
    return Measured(seconds, turns, calls[FRAME_MAKER], calls[COMPRESSOR])


def spent(server: BackgroundServer) -> float:
    """Seconds of the processor that the server's thread has used since some moment; on Windows, seconds.

    Raises:
        TimeoutError: the server's loop did not take the question within 3 s.
    """

    async def look() -> float:
        return _clock()

    return inside(server, look())


async def _timed(call: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> tuple[float, bool]:
    turns: list[None] = []
    asyncio.get_running_loop().call_soon(turns.append, None)
    start = _clock()
    await call(*args)
    return _clock() - start, bool(turns)


async def _profiled(call: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> Counter[str]:
    """How often each function was called, by its name."""
    with cProfile.Profile() as profile:
        await call(*args)
    stats: dict[tuple[str, int, str], tuple[int, int, float, float, Any]] = vars(pstats.Stats(profile))["stats"]
    calls: Counter[str] = Counter()
    for (_, _, name), (_, count, *_) in stats.items():
        calls[name] += count
    return calls
