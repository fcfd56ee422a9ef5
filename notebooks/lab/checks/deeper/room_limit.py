"""The check of the second exercise in deeper/sessions: a token bucket for each room."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..verdict import NotYet, judged, result_of, shown

__all__ = ["check_room_limit"]

BURST, PER_SECOND = 3, 1.0
WORDS = (
    *((0.0, "lobby", may) for may in (True, True, True, False)),
    (0.0, "kitchen", True),
    (0.5, "lobby", False),
    (1.0, "lobby", True),
    (1.0, "lobby", False),
    (2.5, "lobby", True),
    (3.0, "lobby", True),
    (3.0, "lobby", False),
    *((100.0, "lobby", may) for may in (True, True, True, False)),
)
"""When, in seconds, something is said in which room, and whether it may be."""


@judged("each room has its own tokens, they come back with time, and there are never more than `burst`")
def check_room_limit(room_limit: Callable[[int, float], Any]) -> None:
    """Check ``room_limit(burst, per_second)``: it returns ``allowed(room, now)``, a token bucket for each room."""
    allowed = result_of(room_limit, BURST, PER_SECOND)
    if not callable(allowed):
        raise NotYet(f"room_limit returned {shown(allowed)}, expected a function to call for each message")
    taken: list[float] = []
    for now, room, expected in WORDS:
        got = result_of(allowed, room, now)
        if got is None:
            raise NotYet(f"allowed({room!r}, {now:g}) returned None; return True or False")
        if bool(got) is not expected:
            hint = _limit_hint(now, room, taken)
            raise NotYet(f"{_so_far(now, room, taken)}: got {shown(got)}, expected {expected}; {hint}")
        if expected and room == "lobby":
            taken.append(now)


def _so_far(now: float, room: str, taken: list[float]) -> str:
    said = f"with burst {BURST} and {PER_SECOND:g} per second, at {now:g} s in the {room}"
    times = ", ".join(f"{time:g}" for time in taken)
    return said + (f" after messages in the lobby at {times} s" if taken else "")


def _limit_hint(now: float, room: str, taken: list[float]) -> str:
    if room == "kitchen":
        return "each room has tokens of its own"
    if now == 0:
        return "a room starts with `burst` tokens" if len(taken) < BURST else "return False when the tokens are used up"
    if now == 100:
        return "after a long silence a room has `burst` tokens, and never more"
    return "a token comes back each second, half a token in half a second; a refused message takes none"
