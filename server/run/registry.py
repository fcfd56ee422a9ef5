"""The registry of what each notebook cell has started, so that running the cell again replaces it.

Learners run a cell many times, and each run that starts a server would leave one more behind. So every
background server, process and instrument is registered here, and the next run of the same cell stops what the
last run has registered.
"""

from __future__ import annotations

import atexit
import sys
import threading
from contextlib import suppress
from typing import NamedTuple, Protocol, TypeVar

from ..errors import StopError

__all__ = ["Cell", "Stoppable", "discard", "enter", "entered", "stop_all", "stop_earlier_run", "this_cell"]


class Stoppable(Protocol):
    """Something that runs in the background until it is stopped."""

    def stop(self) -> None:
        """Stop, and wait until it has ended; do nothing if it has ended already."""


T = TypeVar("T", bound=Stoppable)


class Cell(NamedTuple):
    """One run of one cell."""

    name: str
    run: str


_entered: dict[Stoppable, Cell | None] = {}
_lock = threading.RLock()


def this_cell() -> Cell | None:
    """Return the cell that is running now, or None outside a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or not hasattr(shell, "get_parent"):
        return None
    parent = shell.get_parent()
    # JupyterLab sends the cell's id; other front ends don't, so use the cell's text instead
    name = parent.get("metadata", {}).get("cellId") or parent.get("content", {}).get("code")
    return Cell(name, parent["header"]["msg_id"]) if name else None


def enter(thing: Stoppable) -> None:
    """Register `thing` as started by the cell that is running now."""
    with _lock:
        _entered[thing] = this_cell()


def discard(thing: Stoppable) -> None:
    """Forget `thing`; do nothing if it isn't registered."""
    with _lock:
        _entered.pop(thing, None)


def entered(kind: type[T]) -> tuple[T, ...]:
    """Return everything of this kind that is registered, oldest first."""
    with _lock:
        return tuple(thing for thing in _entered if isinstance(thing, kind))


def stop_earlier_run() -> None:
    """Stop what earlier runs of the current cell have registered, newest first.

    Raises:
        StopError: one of them can't be stopped; the others are stopped anyway.
    """
    now = this_cell()
    if now is None:
        return
    with _lock:
        earlier = [thing for thing, cell in _entered.items() if cell and cell.name == now.name and cell.run != now.run]
    _stop(earlier)


def stop_all() -> None:
    """Stop everything that this process runs in the background, newest first.

    For the last cell of a notebook; it also runs by itself when the process exits.

    Raises:
        StopError: one of them can't be stopped; the others are stopped anyway.
    """
    with _lock:
        everything = list(_entered)
    _stop(everything)


def _stop(things: list[Stoppable]) -> None:
    errors: list[StopError] = []
    for thing in reversed(things):
        try:
            thing.stop()
        except StopError as error:
            errors.append(error)
        discard(thing)
    if errors:
        raise errors[0]


@atexit.register
def _at_exit() -> None:
    with suppress(StopError):  # the process is exiting anyway
        stop_all()
