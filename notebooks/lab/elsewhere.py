"""An app that is written in a notebook, served from a process of its own: ``serve_elsewhere(make_app, url)``.

`server.serve_process` takes a name to import, because an object cannot cross processes. Here the
function that makes the app is carried over by cloudpickle, with all that the notebook has defined
and it needs, and is called there.
"""

from __future__ import annotations

import os
import pickle
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cloudpickle  # type: ignore[import-untyped]

from server import ServerProcess, StartError, serve_process

__all__ = ["serve_elsewhere"]

# by value as well: in the child, importing all the instruments would take a second
cloudpickle.register_pickle_by_value(sys.modules[__package__])

MODULE = "app_from_the_notebook"
CODE = """
import pickle
from pathlib import Path

make_app, args = pickle.loads(Path(__file__).with_name("recipe").read_bytes())
app = make_app(*args)
"""


def serve_elsewhere(make_app: Callable[..., Any], *args: Any, **options: Any) -> ServerProcess:
    """Serve what ``make_app(*args)`` returns from a process of its own; `options` go to `serve_process`.

    What it makes, it makes there: nothing is shared with the notebook, or with another process.

    Raises:
        StartError: something that `make_app` needs cannot cross processes, such as a lock or an open
            connection, or the server did not start.
    """
    try:
        recipe = cloudpickle.dumps((make_app, args))
    except (TypeError, pickle.PicklingError) as error:
        name = getattr(make_app, "__name__", make_app)
        raise StartError(f"{name} cannot cross processes: {error}; make that inside of {name}") from None
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "recipe").write_bytes(recipe)
        Path(folder, f"{MODULE}.py").write_text(CODE)
        with _importable(folder):
            return serve_process(f"{MODULE}:app", **options)


@contextmanager
def _importable(folder: str) -> Iterator[None]:
    """Let children that start in this block import what is in `folder`."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = folder if before is None else os.pathsep.join((folder, before))
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
