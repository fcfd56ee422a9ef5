"""What a tap can note about a connection, beside what was said on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from .exchange import TapRequest, TapResponse
from .frame import Direction, TapBytes, TapFrame

__all__ = ["CUT", "Event", "Note", "Outcome"]

CUT = "the cable is cut"

Outcome: TypeAlias = Literal["open", "closed", "reset", "refused", "gave up", "stopped"]
"""How a connection stands: "gave up" is a client that left while the cable was cut, before the server knew of it."""


@dataclass(slots=True)
class Note:
    """Something that happened to the connection itself."""

    kind: Literal["end", "reset", "refused", "limit", "fault"]
    text: str
    direction: Direction | None = None
    """The end that did it; None for the tap, or for both directions of a fault."""
    held: bool = False
    """Whether it happened while the cable was cut, so that the other side learns it after `Tap.mend`."""


Event: TypeAlias = TapRequest | TapResponse | TapFrame | TapBytes | Note
"""One entry of a conversation, in the order the tap saw them."""
