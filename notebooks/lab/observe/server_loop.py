"""Run a coroutine of the lesson on the loop of a server, where its handlers run, and measure it there."""

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

__all__ = ["CallCost", "cpu_seconds", "measure_call", "run_on_server"]

T = TypeVar("T")

FRAME_MAKER = "serialize"  # of websockets.frames.Frame
COMPRESSOR = "<method 'compress' of 'zlib.Compress' objects>"
# the processor's time of one thread, whatever else the machine does; on Windows it ticks 64 times a second
_clock = perf_counter if sys.platform == "win32" else thread_time


def run_on_server(server: BackgroundServer, coroutine: Coroutine[Any, Any, T], *, timeout: float = 15.0) -> T:
    """Run a coroutine on the server's loop, where its handlers run: ``run_on_server(server, notifications.push(…))``.

    The calling thread waits for it, so call it from a cell, not from a handler. A coroutine that takes longer than
    `timeout` seconds is cancelled.

    Returns:
        What the coroutine returns.

    Raises:
        TimeoutError: it did not finish within `timeout` seconds.
        RuntimeError: the server has stopped.
    """
    if not server.alive:
        coroutine.close()
        raise RuntimeError("the server has stopped; serve the app again")
    future = asyncio.run_coroutine_threadsafe(coroutine, server._loop)
    try:
        return future.result(timeout)
    except TimeoutError:
        future.cancel()
        raise TimeoutError(f"{getattr(coroutine, '__name__', 'it')} was not done within {timeout:g} s") from None


@dataclass(frozen=True)
class CallCost:
    """What one call cost on the server's loop."""

    seconds: float
    """Processor time of the shortest run."""
    turns: int
    """In how many runs another callback of the loop ran before the call was done."""
    frames: int
    """How many frames it made, as a profiler counts them."""
    compressed: int
    """How many messages it compressed, as a profiler counts them."""


def measure_call(server: BackgroundServer, call: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> CallCost:
    """Call a coroutine function on the server's loop, nine times with a clock and once with a profiler.

    Raises:
        TimeoutError: a call did not finish within 15 s.
    """
    runs = [run_on_server(server, _timed(call, *args)) for _ in range(9)]
    calls = run_on_server(server, _profiled(call, *args))
    seconds, turns = min(seconds for seconds, _ in runs), sum(turn for _, turn in runs)
    return CallCost(seconds, turns, calls[FRAME_MAKER], calls[COMPRESSOR])


def cpu_seconds(server: BackgroundServer) -> float:
    """Return the processor time of the server's thread in seconds; on Windows, the time of the clock.

    Raises:
        TimeoutError: the server's loop did not answer within 15 s.
    """

    async def look() -> float:
        return _clock()

    return run_on_server(server, look())


async def _timed(call: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> tuple[float, bool]:
    turns: list[None] = []
    asyncio.get_running_loop().call_soon(turns.append, None)
    start = _clock()
    await call(*args)
    return _clock() - start, bool(turns)


async def _profiled(call: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> Counter[str]:
    """Return how often each function was called, by its name."""
    with cProfile.Profile() as profile:
        await call(*args)
    stats: dict[tuple[str, int, str], tuple[int, int, float, float, Any]] = vars(pstats.Stats(profile))["stats"]
    calls: Counter[str] = Counter()
    for (_, _, name), (_, count, *_) in stats.items():
        calls[name] += count
    return calls
