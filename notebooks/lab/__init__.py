"""The instruments of the lessons: each shows something that otherwise stays unseen."""

from __future__ import annotations

from .anatomy import frame_picture
from .browser import BrowserClient
from .census import census
from .crowd import Crowd
from .descriptors import allow_descriptors
from .diagram import sequence, side_by_side
from .expect import expect
from .fate import end_of, fate
from .handshake import handshake_picture
from .journal import Journal
from .leftovers import leftovers
from .progress import forget_progress, progress
from .tap import Tap

__all__ = [
    "BrowserClient",
    "Crowd",
    "Journal",
    "Tap",
    "allow_descriptors",
    "census",
    "end_of",
    "expect",
    "fate",
    "forget_progress",
    "frame_picture",
    "handshake_picture",
    "leftovers",
    "progress",
    "sequence",
    "side_by_side",
]
