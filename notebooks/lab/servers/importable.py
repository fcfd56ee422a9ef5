"""A folder from which the children of this process can import: ``with importable(folder): …``."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["importable"]

_environment = threading.Lock()  # two servers may be started at the same time


@contextmanager
def importable(folder: str) -> Iterator[None]:
    """Let a child process that starts in this block import modules of `folder`; only one such block runs at a time."""
    with _environment:
        before = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = folder if before is None else os.pathsep.join((folder, before))
        try:
            yield
        finally:
            if before is None:
                del os.environ["PYTHONPATH"]
            else:
                os.environ["PYTHONPATH"] = before
