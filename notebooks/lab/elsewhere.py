"""An app that is written in a notebook, served from two other processes: ``with two_elsewhere(make_app) as servers``.

`server.serve_process` takes a name to import, because an object cannot cross processes. Here the
function that makes the app is carried over by cloudpickle, with all that the notebook has defined
and it needs, and is called there.
"""

from __future__ import annotations

import pickle
import sys
import tempfile
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

__all__ = ["two_elsewhere"]

# by value as well: in the child, importing all the instruments would take a second
cloudpickle.register_pickle_by_value(sys.modules[__package__])

MODULE = "app_from_the_notebook"
CODE = """
import pickle
from pathlib import Path

make_app, args = pickle.loads(Path(__file__).with_name("recipe").read_bytes())
app = make_app(*args)
"""


@contextmanager
def two_elsewhere(make_app: Callable[..., Any], *args: Any, **options: Any) -> Iterator[list[ServerProcess]]:
    """Serve what ``make_app(*args)`` returns from two processes; `options` go to `serve_process`.

    What it makes, it makes there: nothing is shared with the notebook, or between the two. They start at
    the same time, and are stopped when the block ends.

    Raises:
        StartError: something that `make_app` needs cannot cross processes, such as a lock or an open
            connection, or a server did not start.
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
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "recipe").write_bytes(recipe)
        Path(folder, f"{MODULE}.py").write_text(CODE)
        with importable(folder):
            yield
