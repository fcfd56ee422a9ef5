"""What happened on the server, written down in its thread and shown by the cell that asks.

A ``print`` in a handler runs in the server's thread, and its text lands in whichever cell runs
at that moment. A handler that records in a `Journal` lets the cell wait for the rows it needs.
"""

from __future__ import annotations

import threading

__all__ = ["Journal", "Rows"]


class Rows(tuple[str, ...]):
    """Rows of a journal; shown one per line."""

    def __str__(self) -> str:
        return "\n".join(self)

    __repr__ = __str__


class Journal:
    """Rows of text that any thread may add to, in the order in which they arrive.

    It keeps every row until `clear`: it is an instrument for a lesson, not a log.
    """

    def __init__(self) -> None:
        self._rows: list[str] = []
        self._arrived = threading.Condition()

    def record(self, *parts: object) -> None:
        """Add one row, made of `parts` as ``print`` would write them. Never waits."""
        with self._arrived:
            self._rows.append(" ".join(str(part) for part in parts))
            self._arrived.notify_all()

    @property
    def rows(self) -> Rows:
        """All rows so far."""
        with self._arrived:
            return Rows(self._rows)

    def wait(self, n: int, *, timeout: float = 3) -> Rows:
        """Wait until there are `n` rows, and return the first `n`.

        As the last line of a cell it shows them; elsewhere, print what it returns. It blocks the
        calling thread for at most `timeout` seconds, so call it from the notebook or a test, not
        from a handler.

        Raises:
            TimeoutError: fewer rows arrived in time; the message shows them.
        """
        with self._arrived:
            self._arrived.wait_for(lambda: len(self._rows) >= n, timeout)
            if len(self._rows) < n:
                there = ", ".join(repr(row) for row in self._rows) or "none at all"
                raise TimeoutError(f"{len(self._rows)} of {n} rows arrived within {timeout:g} s: {there}")
            return Rows(self._rows[:n])

    def clear(self) -> None:
        """Drop all rows, so that a cell can be run again."""
        with self._arrived:
            self._rows.clear()

    def __repr__(self) -> str:
        return str(self.rows)
