"""The extension that puts a notebook's cells onto a thread and an event loop in memory."""

from __future__ import annotations

import asyncio
import gc
import sys
import warnings
from collections.abc import Coroutine
from typing import Any

from pyodide.ffi import can_run_sync

from . import install
from .selector import MemoryLoop
from .threads import MAIN, Waker, run_in

__all__ = ["load_ipython_extension"]

CANNOT_WAIT = "this browser can't let Python wait (WebAssembly JSPI); use Chrome or Edge, version 137 or newer"


def load_ipython_extension(shell: Any) -> None:
    """Run the cells of this shell on a loop that can wait: IPython calls this when a kernel starts."""
    run_cell = shell.run_cell_async
    if not can_run_sync():
        shell.should_run_async = lambda *args, **options: True
        shell.run_cell_async = lambda *args, **options: run_cell(f"raise RuntimeError({CANNOT_WAIT!r})")
        return
    install()
    sys.modules.pop("tornado", None)  # an empty one, which nest_asyncio2 would take for the real one
    warnings.filterwarnings("ignore", "only soft file lock")  # filelock: there is one process, so it is enough
    # in the middle of a cell, the collector of Python 3.14 would follow frames of suspended threads, and crash
    gc.disable()
    loop = MemoryLoop()
    run_in(MAIN, loop.run_forever, lambda: None)

    async def run_cell_async(*args: Any, **options: Any) -> Any:
        try:
            return await _run_on(loop, run_cell(*args, **options))
        finally:
            gc.collect()

    show_traceback = shell._showtraceback

    def _showtraceback(kind: type[BaseException], error: BaseException, lines: list[str]) -> None:
        show_traceback(kind, error, lines)
        shell._last_traceback["ename"] = kind.__name__  # as ipykernel has it, and not "<class …>"

    shell.run_cell_async = run_cell_async
    shell.should_run_async = lambda *args, **options: True
    shell._showtraceback = _showtraceback


async def _run_on(loop: MemoryLoop, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on the cells' loop, and return its result to Pyodide's own loop."""
    task: asyncio.Task[Any] | None = None
    finished = Waker()

    def start() -> None:
        nonlocal task
        task = loop.create_task(coroutine)
        task.add_done_callback(lambda _: finished.wake())

    loop.call_soon_threadsafe(start)
    await finished.promise
    assert task is not None
    return task.result()
