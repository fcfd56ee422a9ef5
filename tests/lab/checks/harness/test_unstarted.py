"""Which coroutine of a handler was made, and never started."""

from __future__ import annotations

import asyncio
import weakref
from typing import Any

from lab.checks.harness.unstarted import unstarted


async def write() -> None:
    """A writer."""


async def read() -> None:
    """What the handler doesn't name."""


async def handler() -> None:
    """Calls `write` and forgets to start it."""
    write()  # type: ignore[unused-coroutine]


def test_a_coroutine_that_nobody_started_is_named() -> None:
    """As long as somebody holds it."""
    made = write()
    assert unstarted(handler) == "write"
    made.close()
    assert unstarted(handler) is None


def test_others_are_left_alone() -> None:
    """What the handler doesn't name, and what runs."""
    other = read()

    async def judge() -> Any:
        task = asyncio.create_task(write())
        await asyncio.sleep(0)
        found = unstarted(handler)
        await task
        return found

    assert asyncio.run(judge()) is None
    other.close()


def test_what_is_no_function_has_none() -> None:
    """Such as a callable object."""
    assert unstarted(print) is None


def test_an_object_that_is_gone_does_no_harm() -> None:
    """A weak proxy raises at everything, when its object is gone."""
    proxy = weakref.proxy(asyncio.Event())
    assert unstarted(handler) is None
    del proxy
