"""Make a blocking call in a thread of its own: ``await in_thread(server.restart)``.

``asyncio.to_thread`` does the same, but the threads of its pool stay for as long as the kernel.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any, ParamSpec, TypeVar

__all__ = ["in_thread"]

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a blocking function in a thread, and return what it returns.

    Example: ``await in_thread(backend.restart)``.

    The loop of the notebook goes on meanwhile. The thread ends with the call. If this coroutine is cancelled, the call
    goes on, because a thread can't be cancelled.

    Raises:
        Exception: what the function raised.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()
    # in this context, by which a server knows the cell that it belongs to
    call = partial(copy_context().run, partial(function, *args, **kwargs))
    threading.Thread(target=_run, args=(call, done, loop), name="in_thread", daemon=True).start()
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
