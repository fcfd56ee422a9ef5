"""What a check says about an answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["verdict"]


def verdict(check: Callable[..., Any], answer: Any) -> str:
    """What the check says about an answer, on one line."""
    said = str(check(answer))
    assert "\n" not in said
    return said
