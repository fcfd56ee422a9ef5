"""Find a coroutine that the reader has made, and never started: ``writer = write(…)`` without ``create_task``."""

from __future__ import annotations

import gc
import inspect
from collections.abc import Callable
from types import CoroutineType
from typing import Any

__all__ = ["unstarted"]


def unstarted(handler: Callable[..., Any]) -> str | None:
    """Return the name of a function that the handler calls, and whose coroutine waits to be started; or None.

    It looks at the coroutines that exist now, and only at those of functions that the handler names and that are
    defined in its own module, or notebook.
    """
    handler = inspect.unwrap(handler)
    names = getattr(getattr(handler, "__code__", None), "co_names", ())
    own = getattr(handler, "__globals__", None)
    # `isinstance` would fail at a weak proxy whose object is gone
    for one in gc.get_objects():
        if type(one) is CoroutineType and inspect.getcoroutinestate(one) == inspect.CORO_CREATED:
            frame = one.cr_frame
            if frame is not None and frame.f_globals is own and one.__name__ in names:
                return one.__name__
    return None
