"""What the lessons import from `lab`."""

from __future__ import annotations

import lab


def test_public_names() -> None:
    """The instruments are these, and each is there under its name."""
    assert lab.__all__ == [
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
    assert all(callable(getattr(lab, name)) for name in lab.__all__)
