"""A place in the log of one topic, which a client names to get what it missed."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Position"]


@dataclass(frozen=True, slots=True, order=False)
class Position:
    """A place in the log of one topic: after the record with this offset."""

    epoch: str
    """Changes when records were lost, such as by a restart without the data; never reused."""

    offset: int
    """1 for the first record of the epoch, then one more for each; 0 is before the first."""
