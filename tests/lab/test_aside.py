"""A blocking call does not keep the loop, and leaves no thread behind."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar

import pytest
from lab.aside import aside

name: ContextVar[str] = ContextVar("name", default="nobody")


def test_others_go_on_meanwhile() -> None:
    """While the call blocks, the loop runs: here what it waits for happens on the loop."""
    happened = threading.Event()

    async def main() -> bool:
        asyncio.get_running_loop().call_later(0.01, happened.set)
        return await aside(happened.wait, 3)

    assert asyncio.run(main())


def test_the_thread_is_gone() -> None:
    """Unlike a pool's, the thread ends with its call."""

    async def main() -> threading.Thread:
        return await aside(threading.current_thread)

    thread = asyncio.run(main())
    thread.join(3)
    assert not thread.is_alive()


def test_the_context_is_the_callers() -> None:
    """A server that is started aside knows the cell that it belongs to."""

    async def main() -> str:
        name.set("ana")
        return await aside(name.get)

    assert asyncio.run(main()) == "ana"


def test_an_exception_is_raised() -> None:
    """What the function raises, the caller gets."""
    with pytest.raises(ZeroDivisionError):
        asyncio.run(aside(lambda: 1 // 0))


def test_a_cancelled_caller_hurts_nobody() -> None:
    """The call goes on when nobody waits for it any more, and its end is not an error."""
    go = threading.Event()

    async def main() -> None:
        waiting = asyncio.create_task(aside(go.wait, 3))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        go.set()
        await asyncio.sleep(0.01)

    asyncio.run(main())
