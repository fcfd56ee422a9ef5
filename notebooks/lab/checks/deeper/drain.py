"""The check of the exercise in deeper/operations: a server that says goodbye to everybody."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from ..harness.clock import without_waiting
from ..verdict import NotYet, judged, reason_of, refuse_stub, result_of, shown

__all__ = ["check_drain"]

ENOUGH = 5.0  # seconds that the reader's function may wait
AWAY = -1.0  # the client has just left


class Connection:
    """A connection whose client takes so many seconds to say goodbye; its name stands in error messages."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.codes: list[Any] = []

    async def close(self, code: Any = 1000, reason: str = "") -> None:
        """Note the code, and wait for the client."""
        self.codes.append(code)
        if self.seconds == AWAY:
            raise ConnectionError("the client has just left")
        await asyncio.sleep(self.seconds)

    def __repr__(self) -> str:
        return "connection"


GOODBYES: tuple[tuple[str, tuple[float, ...], int, float], ...] = (
    ("three clients answer at once", (0.1, 0.2, 0.3), 0, 0.3),
    ("nobody is connected", (), 0, 0),
    ("a hundred clients need a second each", (1.0,) * 100, 0, 1),
    ("one of three clients never answers", (0.1, 1e6, 0.1), 1, ENOUGH),
    ("one of three clients has just left", (0.1, AWAY, 0.1), 0, 0.1),
    ("two of four clients never answer, and one has just left", (1e6, AWAY, 0.1, 1e6), 2, ENOUGH),
)
"""A story; how long each client takes; how many are late, and after how many seconds that is known."""


@judged("everybody is told at the same time, and a client that doesn't answer holds up nobody")
def check_drain(drain: Any) -> None:
    """Check ``drain(connections, seconds)``: it closes all with 1012, and returns how many didn't finish in time.

    The clock of this check jumps to the next timer, so it doesn't wait.
    """
    refuse_stub(drain)
    for story, goodbyes, late, longest in GOODBYES:
        connections = [Connection(seconds) for seconds in goodbyes]
        got, took = _drained(drain, connections, story)
        if any(one.codes != [1012] for one in connections):
            codes = next(one.codes for one in connections if one.codes != [1012])
            raise NotYet(f"{story}: a connection was closed with {codes}, expected [1012]; close each of them once")
        if got is None or got != late:
            raise NotYet(f"{story}: got {shown(got)}, expected {late}; return how many did not finish in time")
        if took > longest + 0.01:
            raise NotYet(f"{story}: it took {took:g} s, expected {longest:g} s; {_drain_hint(story)}")


def _drained(drain: Any, connections: list[Connection], story: str) -> tuple[Any, float]:
    """Return what `drain` returned, and after how many seconds."""

    async def main() -> tuple[Any, float]:
        draining = drain(connections, ENOUGH)
        if not inspect.isawaitable(draining):
            raise NotYet(f"drain returned {shown(draining)} without waiting; write it with `async def`")
        task = asyncio.ensure_future(draining)
        done, _ = await asyncio.wait([task], timeout=1_000)
        if not done:
            raise NotYet(f"{story}: drain never ended; wait for {ENOUGH:g} s at most")
        took = asyncio.get_running_loop().time()
        await asyncio.sleep(0.001)  # what was cancelled and not awaited ends in this time
        if not task.exception() and len(asyncio.all_tasks()) > 1:
            raise NotYet(f"{story}: drain has ended, and still waits for them in a task; cancel what is late")
        return task.result(), round(took, 3)

    def play() -> Any:
        try:
            return without_waiting(main())
        except Exception as error:
            return error

    play.__name__ = "drain"
    outcome = result_of(play)
    if isinstance(outcome, NotYet):
        raise outcome
    if isinstance(outcome, Exception):
        refuse_stub(drain, outcome)
        raise NotYet(f"{story}: drain raised {reason_of(outcome, drain)}")
    return outcome  # type: ignore[no-any-return]


def _drain_hint(story: str) -> str:
    if "never" in story:
        return "wait for `seconds` altogether, and not for each of them"
    return "close all of them at the same time"
