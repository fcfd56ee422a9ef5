"""A blocking call does not keep the loop, and leaves no thread behind."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar

import pytest
from lab.servers.threads import in_thread

pytestmark = pytest.mark.anyio

name: ContextVar[str] = ContextVar("name", default="nobody")


async def test_others_go_on_meanwhile() -> None:
    """While the call blocks, the loop runs: here what it waits for happens on the loop."""
    happened = threading.Event()
    asyncio.get_running_loop().call_later(0.01, happened.set)
    assert await in_thread(happened.wait, 3)


async def test_the_thread_is_gone() -> None:
    """Unlike a pool's, the thread ends with its call."""
    thread = await in_thread(threading.current_thread)
    thread.join(15)
    assert not thread.is_alive()


async def test_the_context_is_the_callers() -> None:
    """A server that is started in a thread knows the cell that it belongs to."""
    name.set("ana")
    assert await in_thread(name.get) == "ana"


async def test_an_exception_is_raised() -> None:
    """What the function raises, the caller gets."""
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 // 0)


async def test_a_cancelled_caller_hurts_nobody() -> None:
    """The call goes on when it is no longer awaited, and its end is not an error."""
    go, gone = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def call() -> None:
        go.wait(15)
        loop.call_soon_threadsafe(lambda: loop.call_soon(gone.set))  # behind what the thread tells the loop

    waiting = asyncio.create_task(in_thread(call))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    go.set()
    async with asyncio.timeout(15):
        await gone.wait()
