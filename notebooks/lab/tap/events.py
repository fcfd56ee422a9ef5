"""One entry of what a tap records of a connection."""

from __future__ import annotations

from typing import TypeAlias

from server.testing.tapped_connection import ConnectionEvent

from .frames import TapBytes, TapFrame
from .http import TapRequest, TapResponse

__all__ = ["Event"]

Event: TypeAlias = TapRequest | TapResponse | TapFrame | TapBytes | ConnectionEvent
"""One entry of a conversation, in the order the tap saw them."""
