"""Record what happens on the server, and show it in the cell that asks.

A ``print`` in a handler runs in the server's thread, so its text appears under whichever cell runs
at that moment. A handler that records in a `Journal` lets a cell wait for the rows that it needs.
"""

from __future__ import annotations

import threading

from server.run.registry import this_cell

__all__ = ["Journal", "Rows"]


class Rows(tuple[str, ...]):
    """Rows of a journal; shown one on each line."""

    def __str__(self) -> str:
        return "\n".join(self)

    __repr__ = __str__


class Journal:
    """Rows of text that any thread may add, in the order in which they arrive.

    ``journal = Journal()``; then ``journal.record("ana joined")`` in a handler, and ``journal.wait(rows=1)`` in a
    cell. It keeps every row until `clear`. When you run a cell again that has read the rows, the rows that were
    read since its first run are dropped, so that the cell sees the same as at first.
    """

    def __init__(self) -> None:
        self._rows: list[str] = []
        self._seen = 0  # rows that some cell has looked at
        self._cells: dict[
            str, tuple[str, int]
        ] = {}  # the last run of each cell, and the rows that were there before it
        self._arrived = threading.Condition()

    def record(self, *parts: object) -> None:
        """Add one row, with the `parts` joined as ``print`` joins them; never wait."""
        with self._arrived:
            self._rows.append(" ".join(str(part) for part in parts))
            self._arrived.notify_all()

    @property
    def rows(self) -> Rows:
        """Every row so far, oldest first."""
        with self._arrived:
            self._begin()
            self._seen = len(self._rows)
            return Rows(self._rows)

    def wait(self, *, rows: int, timeout: float = 15) -> Rows:
        """Wait until this many rows have been recorded, and return the first `rows` of them.

        As the last line of a cell it shows them; elsewhere, print what it returns. It blocks the
        calling thread for at most `timeout` seconds, so call it from a cell or a test, not
        from a handler.

        Raises:
            TimeoutError: fewer rows arrived in time; the message shows them.
        """
        with self._arrived:
            self._begin()
            self._arrived.wait_for(lambda: len(self._rows) >= rows, timeout)
            self._seen = len(self._rows)
            if len(self._rows) < rows:
                there = ", ".join(repr(row) for row in self._rows) or "none at all"
                raise TimeoutError(f"{len(self._rows)} of {rows} rows arrived within {timeout:g} s: {there}")
            return Rows(self._rows[:rows])

    def clear(self) -> None:
        """Drop every row."""
        with self._arrived:
            self._rows.clear()
            self._cells.clear()
            self._seen = 0

    def _begin(self) -> None:
        """If the cell that runs now has run before, drop the rows that were read since then."""
        if (cell := this_cell()) is None:
            return
        run, before = self._cells.get(cell.name, (cell.run, self._seen))
        if run != cell.run:
            del self._rows[before : self._seen]
        self._cells[cell.name] = cell.run, before

    def __repr__(self) -> str:
        return str(self.rows)
