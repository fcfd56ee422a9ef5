"""The check of exercise 1 of lesson 04: an outbox that keeps the latest price of each paper."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from ..clock import without_waiting
from ..verdict import NotYet, judged, reason_of, refuse_stub, result_of, shown

__all__ = ["check_latest"]

PUT = (("oil", 70), ("gold", 2_000), ("oil", 71), ("tea", 3), ("gold", 2_010), ("oil", 72))
LEFT = (("oil", 72), ("gold", 2_010), ("tea", 3))
"""What is left of it, in the order in which the papers began to wait."""
BUSY = 2_000  # prices that come while the peer reads nothing
LATE = 5.0  # seconds until something is put while somebody waits for it
SOON = 1.0  # seconds of the check's own clock, in which whoever waits must have got it


class _Outbox(NamedTuple):
    """The two functions that the reader's returns."""

    put: Callable[..., Any]
    get: Callable[..., Any]


@judged("each paper's latest price, whoever has waited longest first, and an empty outbox waits")
def check_latest(price_outbox: Callable[[], Any]) -> None:
    """Check ``price_outbox()``: it returns ``put(paper, price)`` and ``await get()``, with one price for each paper.

    The clock of this check does not run, it jumps to the next thing to do: no second is waited for.
    """
    refuse_stub(price_outbox)

    def play() -> Exception | None:
        return _play(price_outbox)

    play.__name__ = getattr(price_outbox, "__name__", "price_outbox")
    if (error := result_of(play)) is None:
        return
    if isinstance(error, NotYet):
        raise error
    refuse_stub(price_outbox, error)
    raise NotYet(f"{play.__name__} raised {reason_of(error, price_outbox)}")


def _play(price_outbox: Callable[[], Any]) -> Exception | None:
    """Put and get; or what came of it instead."""

    async def play() -> None:
        outbox = _outbox_of(price_outbox())
        await _expect_latest(outbox)
        await _expect_patience(outbox)
        await _expect_bound(outbox)

    try:
        without_waiting(play())
    except Exception as error:
        return error
    return None


def _outbox_of(returned: Any) -> _Outbox:
    if not isinstance(returned, tuple) or len(returned) != 2 or not all(map(callable, returned)):
        raise NotYet(f"price_outbox returned {shown(returned)}, expected the two functions: `return put, get`")
    if inspect.iscoroutinefunction(returned[0]):
        raise NotYet("put is a coroutine; it never waits, so write it with `def`")
    return _Outbox(*returned)


async def _get(outbox: _Outbox, when: str, expected: object = "") -> Any:
    getting = outbox.get()
    if not inspect.isawaitable(getting):
        raise NotYet(f"get() returned {shown(getting)} at once; it may have to wait, so write it with `async def`")
    try:
        return await asyncio.wait_for(getting, SOON)
    except TimeoutError:
        hint = "keep a price for each paper, and clear the event only when none is left"
        raise NotYet(f"{when}, and get() still waits{expected and f', expected {expected!r}'}; {hint}") from None


async def _expect_latest(outbox: _Outbox) -> None:
    for paper, price in PUT:
        outbox.put(paper, price)
    said = "put " + ", ".join(f"{paper} {price}" for paper, price in PUT)
    got: list[Any] = []
    for expected in LEFT:
        so_far = f"{said}; got {', '.join(map(shown, got)) or 'nothing'}"
        got.append(await _get(outbox, so_far, expected))
        if got[-1] != expected:
            hint = _latest_hint(got[-1], expected)
            raise NotYet(f"{said}; got {', '.join(map(shown, got))}, expected {expected!r}; {hint}")


def _latest_hint(got: Any, expected: tuple[str, int]) -> str:
    if got is None:
        return "does get `return` it?"
    if got == expected[1]:
        return "return both, the paper and its price"
    if not isinstance(got, tuple) or len(got) != 2:
        return "return a tuple of two, one paper at a time"
    if got[0] == expected[0]:
        return "a newer price takes the place of the older one"
    if got in LEFT:
        return "the paper that has waited longest comes first; a newer price does not change its place"
    return "a paper waits only once, with its latest price"


async def _expect_patience(outbox: _Outbox) -> None:
    """An empty outbox waits, without keeping the loop busy, and wakes at the next price, twice."""
    for price in (73, 74):
        getting = asyncio.ensure_future(outbox.get())
        await asyncio.sleep(LATE)
        if getting.done():
            error = getting.exception()
            if error is not None:
                raise error
            raise NotYet(f"the outbox is empty, and get() returned {shown(getting.result())}; wait for the next price")
        outbox.put("oil", price)
        try:
            got = await asyncio.wait_for(getting, SOON)
        except TimeoutError:
            raise NotYet("somebody waits in get(), a price is put, and it waits on; wake it with an event") from None
        if got != ("oil", price):
            raise NotYet(f"somebody waited in get(), and put oil {price} gave {shown(got)}")


async def _expect_bound(outbox: _Outbox) -> None:
    """However long the peer reads nothing, there is one price for each paper."""
    for price in range(BUSY):
        outbox.put("oil", price)
    got = await _get(outbox, f"put oil {BUSY} times")
    if got != ("oil", BUSY - 1):
        raise NotYet(f"put oil 0 to {BUSY - 1}, got {shown(got)}; a newer price takes the place of the older one")
    outbox.put("end", 0)
    if (got := await _get(outbox, "put one more")) != ("end", 0):
        raise NotYet(f"put oil {BUSY} times, and after the latest came {shown(got)}; keep one price for each paper")
