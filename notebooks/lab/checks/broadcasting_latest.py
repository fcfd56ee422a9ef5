"""The check of exercise 1 of lesson 04: an outbox that keeps the latest price of each item."""

from __future__ import annotations

import asyncio
import inspect
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from .harness.clock import without_waiting
from .verdict import NotYet, judged, reason_of, refuse_stub, result_of, shown

__all__ = ["check_latest"]

PUT = (("silver", 70), ("gold", 2_000), ("silver", 71), ("copper", 3), ("gold", 2_010), ("silver", 72))
LEFT = (("silver", 72), ("gold", 2_010), ("copper", 3))
"""What is left of it, in the order in which the items began to wait."""
BUSY = 2_000  # prices that are put while nothing is read
LATE = 5.0  # seconds that get() waits until something is put
SOON = 1.0  # seconds of the check's own clock until get() must have returned
NEW = ("tin", 1)  # an item that no outbox has seen, put when get() waits too long, to find out why

LOST = "keep a price for each item, and a place in the queue for each item that waits"
NEVER_QUEUED = (
    "no item has reached it: in `put`, look first whether a price of the item waits, and then store the new one"
)
QUEUED_TWICE = "the item was queued twice: queue it only if no price of it waits"
STILL_THERE = (
    "silver went out before, but `put` takes it for an item that waits: in `get`, take its price out with `pop`"
)


class _Outbox(NamedTuple):
    """The two functions that the reader's returns."""

    put: Callable[..., Any]
    get: Callable[..., Any]


@judged("each item's latest price comes, the longest waiting first, and an empty outbox waits")
def check_latest(price_outbox: Callable[[], Any]) -> None:
    """Check ``price_outbox()``: it returns ``put(item, price)`` and ``await get()``, with one price for each item.

    The clock of this check jumps to the next timer, so it doesn't wait.
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
    """Put and get; return the exception that was raised, if any."""

    async def play() -> None:
        outbox = _outbox_of(price_outbox())
        await _expect_latest(outbox)
        await _expect_waiting(outbox)
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


def _put(outbox: _Outbox, item: str, price: int) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            outbox.put(item, price)
        except asyncio.QueueFull:
            raise NotYet(
                f"put({item!r}, {price}) raised QueueFull: your queue has a limit; "
                "make it with `asyncio.Queue()`, without a number"
            ) from None
    for warning in caught:
        if "'Queue.put'" in str(warning.message):
            raise NotYet(
                "put calls the queue's `put` without `await`, so nothing gets into the queue; call `put_nowait`"
            )
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def _getting(outbox: _Outbox) -> asyncio.Future[Any]:
    getting = outbox.get()
    if not inspect.isawaitable(getting):
        raise NotYet(f"get() returned {shown(getting)} at once; it may have to wait, so write it with `async def`")
    return asyncio.ensure_future(getting)


async def _get(outbox: _Outbox, when: str, expected: object = "", lost: str = LOST) -> Any:
    getting = _getting(outbox)
    await asyncio.wait({getting}, timeout=SOON)
    if getting.done():
        return getting.result()
    if expected and await _after_one_more(outbox, getting) == expected:
        lost = "it comes only after one more `put`: get() must not wait while there is something"
    raise NotYet(f"{when}, and get() still waits{expected and f', expected {expected!r}'}; {lost}")


async def _after_one_more(outbox: _Outbox, getting: asyncio.Future[Any]) -> Any:
    """Put a new item while get() waits; return what it returns then, or None if it raises or still waits."""
    _put(outbox, *NEW)
    await asyncio.wait({getting}, timeout=SOON)
    getting.cancel()
    await asyncio.wait({getting}, timeout=SOON)
    return getting.result() if getting.done() and not getting.cancelled() and not getting.exception() else None


async def _expect_latest(outbox: _Outbox) -> None:
    for item, price in PUT:
        _put(outbox, item, price)
    said = "put " + ", ".join(f"{item} {price}" for item, price in PUT)
    got: list[Any] = []
    for expected in LEFT:
        so_far = f"{said}; got {', '.join(map(shown, got)) or 'nothing'}"
        try:
            got.append(await _get(outbox, so_far, expected, LOST if got else NEVER_QUEUED))
        except KeyError as error:
            if error.args and error.args[0] in dict(got):
                raise NotYet(f"{so_far}, then get() raised KeyError: {error}; {QUEUED_TWICE}") from None
            raise
        if got[-1] != expected:
            hint = _latest_hint(got, expected)
            raise NotYet(f"{said}; got {', '.join(map(shown, got))}, expected {expected!r}; {hint}")


def _latest_hint(seen: list[Any], expected: tuple[str, int]) -> str:
    *before, got = seen
    if got is None:
        return "does get `return` it?"
    if got == expected[1]:
        return "return both, the item and its price"
    if not isinstance(got, tuple) or len(got) != 2:
        return "return a tuple (item, price), one item at a time"
    if got[0] == expected[0]:
        return "a newer price takes the place of the older one"
    return _order_hint(before, got)


def _order_hint(before: list[Any], got: tuple[Any, Any]) -> str:
    if before and got == before[-1]:
        return "what get() returns no longer waits: take it out, for example with `pop`"
    if got[0] in [item for item, _ in before]:
        return QUEUED_TWICE
    if got in LEFT:
        return "the item that has waited longest comes first; a newer price does not change its place"
    return "an item waits only once, with its latest price"


async def _expect_waiting(outbox: _Outbox) -> None:
    """Expect an empty outbox to wait without keeping the loop busy, and to wake at the next price, twice."""
    for price in (73, 74):
        getting = _getting(outbox)
        await asyncio.sleep(LATE)
        if getting.done():
            error = getting.exception()
            if isinstance(error, asyncio.QueueEmpty):
                raise NotYet("the outbox is empty, and get() raised QueueEmpty; wait: `await` the queue's `get()`")
            if error is not None:
                raise error
            raise NotYet(f"the outbox is empty, and get() returned {shown(getting.result())}; wait for the next price")
        _put(outbox, "silver", price)
        await asyncio.wait({getting}, timeout=SOON)
        if not getting.done():
            hint = STILL_THERE if await _after_one_more(outbox, getting) == NEW else "`put` must wake it"
            raise NotYet(f"somebody waits in get(), silver {price} is put, and get() still waits; {hint}")
        if (got := getting.result()) != ("silver", price):
            raise NotYet(f"somebody waited in get(), and after put silver {price} it returned {shown(got)}")


async def _expect_bound(outbox: _Outbox) -> None:
    """Expect one price for each item, however long nothing is read."""
    for price in range(BUSY):
        _put(outbox, "silver", price)
    got = await _get(outbox, f"put silver {BUSY} times")
    if got != ("silver", BUSY - 1):
        raise NotYet(f"put silver 0 to {BUSY - 1}, got {shown(got)}; a newer price takes the place of the older one")
    _put(outbox, "end", 0)
    if (got := await _get(outbox, "put one more")) != ("end", 0):
        raise NotYet(
            f"put silver {BUSY} times, then get() returned {shown(got)} after the latest; keep one price for each item"
        )
