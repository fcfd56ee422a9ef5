"""What a check says about an answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

__all__ = ["verdict"]


def verdict(check: Callable[..., Any], answer: Any) -> str:
    """What the check says about an answer, on one line and within its time."""
    start = time.monotonic()
    said = str(check(answer))
    assert time.monotonic() - start < 10  # 2 s on a quiet machine, the rest is for a busy one
    assert "\n" not in said
    return said
