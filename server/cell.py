"""What a notebook's cell has started, so that running the cell again replaces it.

A cell is run many times while somebody learns. Each run that starts a server would leave one
more behind; here every background server, process and instrument is entered, and the next run
of the same cell stops what the last one entered.
"""

from __future__ import annotations

import atexit
import sys
import threading
from contextlib import suppress
from typing import NamedTuple, Protocol, TypeVar

from .errors import StopError

__all__ = ["Cell", "Stoppable", "discard", "enter", "entered", "stop_all", "stop_earlier_run", "this_cell"]


class Stoppable(Protocol):
    """Something that runs in the background until it is stopped."""

    def stop(self) -> None:
        """End it and wait until it is gone; harmless when it has ended."""


T = TypeVar("T", bound=Stoppable)


class Cell(NamedTuple):
    """One run of one cell."""

    name: str
    run: str


_entered: dict[Stoppable, Cell | None] = {}
_lock = threading.RLock()


def this_cell() -> Cell | None:
    """The cell that runs now, or None outside a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or not hasattr(shell, "get_parent"):
        return None
    parent = shell.get_parent()
    # JupyterLab names the cell; other front ends do not, there the cell's text stands for it
    name = parent.get("metadata", {}).get("cellId") or parent.get("content", {}).get("code")
    return Cell(name, parent["header"]["msg_id"]) if name else None


def enter(thing: Stoppable) -> None:
    """Note that the cell that runs now has started `thing`."""
    with _lock:
        _entered[thing] = this_cell()


def discard(thing: Stoppable) -> None:
    """Forget `thing`; harmless when it is not there."""
    with _lock:
        _entered.pop(thing, None)


def entered(kind: type[T]) -> tuple[T, ...]:
    """What has been entered and not discarded of this kind, oldest first."""
    with _lock:
        return tuple(thing for thing in _entered if isinstance(thing, kind))


def stop_earlier_run() -> None:
    """Stop what earlier runs of the cell that runs now have entered, newest first.

    Raises:
        StopError: one of them cannot be stopped; the others are stopped all the same.
    """
    now = this_cell()
    if now is None:
        return
    with _lock:
        earlier = [thing for thing, cell in _entered.items() if cell and cell.name == now.name and cell.run != now.run]
    _stop(earlier)


def stop_all() -> None:
    """Stop everything that this process runs in the background, newest first.

    For the last cell of a notebook; at the end of the process it is called by itself.

    Raises:
        StopError: one of them cannot be stopped; the others are stopped all the same.
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
    with suppress(StopError):  # the process ends, and with it whatever is stuck
        stop_all()
