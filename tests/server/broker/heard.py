"""A listener for tests: it writes down what it hears, and the test waits for the next of it."""

from __future__ import annotations

import asyncio

from server.broker import Position, Record

__all__ = ["Heard"]

DEADLINE = 5.0  # seconds to wait for something to be heard


class Heard:
    """What one subscription was told, in order; it checks that no offset is left out or told twice."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.signals: list[str] = []
        self.resets: list[Position] = []
        self._last: Position | None = None
        self._news = asyncio.Event()

    def on_record(self, record: Record) -> None:
        """Write down a record, the next of its epoch."""
        if self._last is not None:
            assert record.position == Position(self._last.epoch, self._last.offset + 1), "a gap, or told twice"
        self._last = record.position
        self.records.append(record)
        self._news.set()

    def on_signal(self, payload: str) -> None:
        """Write down a signal."""
        self.signals.append(payload)
        self._news.set()

    def on_reset(self, position: Position) -> None:
        """Write down a reset; the next record comes after it."""
        self._last = position
        self.resets.append(position)
        self._news.set()

    @property
    def payloads(self) -> list[str]:
        """Of the records, in order."""
        return [record.payload for record in self.records]

    @property
    def offsets(self) -> list[int]:
        """Of the records, in order."""
        return [record.position.offset for record in self.records]

    async def until(self, *, records: int = 0, signals: int = 0, resets: int = 0) -> None:
        """Wait until at least so much has been heard.

        Raises:
            TimeoutError: it was not within 5 s.
        """
        async with asyncio.timeout(DEADLINE):
            while len(self.records) < records or len(self.signals) < signals or len(self.resets) < resets:
                self._news.clear()
                await self._news.wait()
