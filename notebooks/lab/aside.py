"""A blocking call in a thread of its own, so that a cell's other coroutines go on: ``await aside(server.restart)``.

``asyncio.to_thread`` would do, but its pool stays for as long as the kernel.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any, ParamSpec, TypeVar

__all__ = ["aside"]

P = ParamSpec("P")
T = TypeVar("T")


async def aside(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in a thread that ends with it, and return what it returns.

    The call goes on when this is cancelled: a thread cannot be.

    Raises:
        Exception: what the function raised.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()
    # in this context, by which a server knows the cell that it belongs to
    call = partial(copy_context().run, partial(function, *args, **kwargs))
    threading.Thread(target=_run, args=(call, done, loop), name="aside", daemon=True).start()
    return await done


def _run(call: Callable[[], Any], done: asyncio.Future[Any], loop: asyncio.AbstractEventLoop) -> None:
    try:
        outcome, settle = call(), done.set_result
    except Exception as error:
        outcome, settle = error, done.set_exception

    def tell() -> None:
        if not done.done():
            settle(outcome)

    with suppress(RuntimeError):  # the loop has closed meanwhile
        loop.call_soon_threadsafe(tell)
