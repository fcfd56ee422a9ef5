"""A coroutine that is begun without a task, and finished in one if it has to wait."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import copy_context
from typing import Any

import pytest

from server.wire.eager import Suspended, begin

DEADLINE = 60.0  # seconds


async def start(coroutine: Coroutine[Any, Any, None]) -> Suspended | None:
    """Begin a coroutine within the task that runs, in a context of its own."""
    task = asyncio.current_task()
    assert task is not None
    return begin(coroutine, task, copy_context())


@pytest.mark.anyio
async def test_a_coroutine_that_does_not_wait_is_done_at_once() -> None:
    """Nothing is left to finish."""
    seen: list[str] = []

    async def inner() -> None:
        seen.append("inner")

    async def outer() -> None:
        await inner()
        seen.append("outer")

    assert await start(outer()) is None
    assert seen == ["inner", "outer"]


@pytest.mark.anyio
async def test_what_it_raises_at_once_is_raised() -> None:
    """The caller learns of a failure, and not a task that nobody looks at."""

    async def fails() -> None:
        raise RuntimeError("closed")

    with pytest.raises(RuntimeError, match="closed"):
        await start(fails())


@pytest.mark.anyio
async def test_one_that_waits_is_finished_in_another_task() -> None:
    """It goes on where it stopped, as often as it has to wait, for futures and for a bare pause alike."""
    seen: list[str] = []

    async def waits(gate: asyncio.Event) -> None:
        seen.append("begun")
        await gate.wait()
        seen.append("opened")
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        seen.append("done")

    gate = asyncio.Event()
    suspended = await start(waits(gate))
    assert isinstance(suspended, Suspended)

    async def finish() -> None:
        await suspended

    finishing = asyncio.create_task(finish())
    await asyncio.sleep(0)
    assert seen == ["begun"]
    gate.set()
    await asyncio.wait_for(finishing, DEADLINE)
    assert seen == ["begun", "opened", "done"]


@pytest.mark.anyio
async def test_a_future_that_is_done_meanwhile_is_no_reason_to_wait() -> None:
    """What it waited for may have come between the beginning and the await, as a result or as an error."""

    async def waits(future: asyncio.Future[int]) -> None:
        assert await future == 1

    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    good = await start(waits(future))
    future.set_result(1)
    assert good is not None
    await asyncio.wait_for(good, DEADLINE)

    failed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    bad = await start(waits(failed))
    failed.set_exception(ConnectionError("gone"))
    assert bad is not None
    with pytest.raises(ConnectionError, match="gone"):
        await asyncio.wait_for(bad, DEADLINE)


@pytest.mark.anyio
@pytest.mark.parametrize("by", ["cancel", "deadline", "early"])
async def test_a_cancellation_reaches_the_coroutine(by: str) -> None:
    """Its `finally` blocks run, however it is given up."""
    seen: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("cleaned up")

    suspended = await start(waits())
    assert suspended is not None

    async def finish() -> None:
        await suspended

    if by == "early":
        suspended.cancel(asyncio.CancelledError())
        with pytest.raises(asyncio.CancelledError):
            await finish()
    elif by == "deadline":
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(finish(), 0.01)
    else:
        finishing = asyncio.create_task(finish())
        await asyncio.sleep(0)
        finishing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(finishing, DEADLINE)
    assert seen == ["cleaned up"]


@pytest.mark.anyio
async def test_a_coroutine_may_survive_its_cancellation() -> None:
    """An exception that it catches is not raised again."""

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)

    suspended = await start(stubborn())
    assert suspended is not None

    async def finish() -> bool:
        await suspended
        return True

    finishing = asyncio.create_task(finish())
    await asyncio.sleep(0)
    finishing.cancel()
    assert await asyncio.wait_for(finishing, DEADLINE)


@pytest.mark.anyio
async def test_begun_by_a_callback_it_belongs_to_its_task() -> None:
    """A deadline that begins outside the task, while that waits, cancels what the task then waits for."""
    loop, owner = asyncio.get_running_loop(), asyncio.current_task()
    assert owner is not None
    begun: asyncio.Future[Suspended | None] = loop.create_future()
    seen: list[object] = []

    async def late() -> None:
        seen.append(asyncio.current_task())
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()

    def callback() -> None:
        begun.set_result(begin(late(), owner, copy_context()))
        seen.append(asyncio.current_task())

    loop.call_soon(callback)
    suspended = await asyncio.wait_for(begun, DEADLINE)
    assert suspended is not None
    with pytest.raises(TimeoutError):
        await suspended
    assert seen == [owner, None]
    assert owner.cancelling() == 0
