"""Tell the code of libraries from that of the course and its reader."""

from __future__ import annotations

import sys
from functools import cache
from importlib.metadata import packages_distributions
from types import FrameType
from typing import Any

__all__ = ["libraries", "package_of"]

COURSE = "learn-websockets"


def package_of(coroutine: Any) -> str | None:
    """Return the top name of the module that defines a coroutine; None for one that has ended, or is no coroutine."""
    frame = getattr(coroutine, "cr_frame", None)
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] if isinstance(frame, FrameType) else None


@cache
def libraries() -> frozenset[str]:
    """Return the top names of Python's own modules and of all that is installed, wherever that is.

    The folder of a module can't tell: libraries may be in the user's folder, in the system's below a virtual
    environment, or in one folder for each package. What a notebook defines is in ``__main__``. The first call takes
    0.2 s.
    """
    installed = {name for name, owners in packages_distributions().items() if set(owners) != {COURSE}}
    return (sys.stdlib_module_names | installed) - {"__main__"}
