"""A listener for tests: it keeps what it receives, and a test can wait for it."""

from __future__ import annotations

import asyncio

from server.broker import Position, Record

__all__ = ["Recorder"]

DEADLINE = 60.0  # seconds to wait for something to be received


class Recorder:
    """What one subscription received, in order; raises if an offset is missing or comes twice."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.signals: list[str] = []
        self.resets: list[Position] = []
        self._last: Position | None = None
        self._news = asyncio.Event()

    def on_record(self, record: Record) -> None:
        """Keep a record, the next of its epoch."""
        if self._last is not None:
            assert record.position == Position(self._last.epoch, self._last.offset + 1), "a gap or a duplicate"
        self._last = record.position
        self.records.append(record)
        self._news.set()

    def on_signal(self, payload: str) -> None:
        """Keep a signal."""
        self.signals.append(payload)
        self._news.set()

    def on_reset(self, position: Position) -> None:
        """Keep a reset; the next record comes after it."""
        self._last = position
        self.resets.append(position)
        self._news.set()

    @property
    def payloads(self) -> list[str]:
        """The payloads of the records, in order."""
        return [record.payload for record in self.records]

    @property
    def offsets(self) -> list[int]:
        """The offsets of the records, in order."""
        return [record.position.offset for record in self.records]

    async def until(self, *, records: int = 0, signals: int = 0, resets: int = 0) -> None:
        """Wait until at least so much has been received.

        Raises:
            TimeoutError: it was not in time.
        """
        async with asyncio.timeout(DEADLINE):
            while len(self.records) < records or len(self.signals) < signals or len(self.resets) < resets:
                self._news.clear()
                await self._news.wait()
