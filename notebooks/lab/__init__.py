"""The instruments of the lessons: each shows something that otherwise stays unseen."""

from __future__ import annotations

from .browser import BrowserClient
from .crowd import Crowd
from .diagram import same, sequence, side_by_side
from .expect import expect
from .journal import Journal
from .leftovers import leftovers
from .tap import Tap

__all__ = [
    "BrowserClient",
    "Crowd",
    "Journal",
    "Tap",
    "expect",
    "leftovers",
    "same",
    "sequence",
    "side_by_side",
]
