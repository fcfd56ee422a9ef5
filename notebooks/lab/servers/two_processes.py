"""Serve an app that is written in a notebook from two processes: ``with serve_two_processes(make_app) as (a, b)``.

`server.serve_process` takes a name to import, because an object can't cross processes. Here
cloudpickle carries the function that makes the app to the other process, with everything that it
needs from the notebook, and the function is called there.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle  # type: ignore[import-untyped]

from server import ServerProcess, StartError, serve_process

from .importable import importable
from .temporary import TemporaryDirectory

__all__ = ["serve_two_processes"]

# by value as well: in the child, importing all the instruments would take a second
cloudpickle.register_pickle_by_value(sys.modules[__package__.partition(".")[0]])

MODULE = "app_from_the_notebook"
CODE = """
import pickle
from pathlib import Path

make_app, args = pickle.loads(Path(__file__).with_name("recipe").read_bytes())
app = make_app(*args)
"""


@contextmanager
def serve_two_processes(make_app: Callable[..., Any], *args: Any, **options: Any) -> Iterator[list[ServerProcess]]:
    """Serve an app that the notebook defines from two processes.

    Example: ``with serve_two_processes(make_app, "ana") as (left, right): …``. ``make_app("ana")`` is called once in
    each process, so nothing is shared with the notebook or between the two. They start at the same time, and are
    stopped when the block ends. `options` go to `server.serve_process`.

    Raises:
        StartError: `make_app` needs something that can't cross processes, such as a lock or an open connection, or a
            server did not start.
    """
    with _recipe(make_app, args), ThreadPoolExecutor(2) as pool:
        # each in a copy of the context, by which a server knows the cell that it belongs to
        starting = [pool.submit(copy_context().run, partial(serve_process, f"{MODULE}:app", **options)) for _ in "12"]
    started = [start.result() for start in starting if start.exception() is None]
    try:
        for start in starting:
            start.result()
        yield started
    finally:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(ServerProcess.stop, started))


@contextmanager
def _recipe(make_app: Callable[..., Any], args: tuple[Any, ...]) -> Iterator[None]:
    """Let children that start in this block import the app."""
    try:
        recipe = cloudpickle.dumps((make_app, args))
    except (TypeError, pickle.PicklingError) as error:
        name = getattr(make_app, "__name__", make_app)
        raise StartError(f"{name} cannot cross processes: {error}; make that inside of {name}") from None
    with TemporaryDirectory() as folder:
        Path(folder, "recipe").write_bytes(recipe)
        Path(folder, f"{MODULE}.py").write_text(CODE)
        with importable(folder):
            yield
