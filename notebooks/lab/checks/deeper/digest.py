"""The check of an exercise in deeper/four-ways: what a device shows after an hour away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..verdict import NotYet, judged, refuse_stub, result_of, shown, without_arguments

__all__ = ["check_digest"]

Notification = dict[str, Any]

HOUR = 3_600  # seconds


def _missed(*kinds: str, first: int = 4) -> list[Notification]:
    return [{"position": position, "kind": kind} for position, kind in enumerate(kinds, first)]


CASES: tuple[tuple[list[Notification], int, int, list[Notification]], ...] = (
    (_missed("order", "chat"), 3, 600, _missed("order", "chat")),
    (_missed("order", "chat", "chat"), 5, 600, _missed("chat", first=6)),
    (_missed("order", "chat", "order"), 3, HOUR, [{"position": 6, "text": "2 order, 1 chat"}]),
    (_missed("order", "chat", "chat"), 3, HOUR, [{"position": 6, "text": "1 order, 2 chat"}]),
    (_missed("news"), 0, 90_000, [{"position": 4, "text": "1 news"}]),
    (_missed("chat", "order", "chat", "order", "chat"), 5, 7_200, [{"position": 8, "text": "2 chat, 1 order"}]),
    (_missed("order", "chat", "chat", "chat"), 4, 7_200, [{"position": 7, "text": "3 chat"}]),
    (_missed("order", "chat"), 5, 7_200, []),
    ([], 0, 7_200, []),
)
"""What was missed, up to where it was read, the seconds away, and what there is to show."""


@judged("read notifications are left out, and after an hour the rest comes as one line")
def check_digest(digest: Callable[..., Any]) -> None:
    """Check ``digest(missed, read, away)``: the unread ones, or one that counts them by kind after an hour away."""
    refuse_stub(digest)
    for missed, read, away, expected in CASES:
        given = [one.copy() for one in missed]
        got = result_of(without_arguments(digest, given, read, away))
        if given != missed:
            raise NotYet(f"{_told(missed, read, away)}: digest has changed the list that it was given; make a new one")
        if got != expected:
            hint = _digest_hint(got, expected, away)
            raise NotYet(f"{_told(missed, read, away)}: got {shown(got)}, expected {shown(expected)}; {hint}")


def _told(missed: list[Notification], read: int, away: int) -> str:
    kinds = ", ".join(f"{one['position']} {one['kind']}" for one in missed) or "nothing"
    return f"missed {kinds}, read up to {read}, {away:,} s away"


def _digest_hint(got: Any, expected: list[Notification], away: int) -> str:
    if not isinstance(got, list):
        return "does the function `return` it?" if got is None else "return a list, also for one or none"
    if not expected:
        return "nothing is unread, so there is nothing to show"
    if "text" not in expected[0]:
        return "under an hour, return the unread notifications as they are"
    if got and not all(isinstance(one, dict) and "text" in one for one in got):
        return "an hour is 3,600 seconds" if away == HOUR else "after an hour, return a list of one dict with a text"
    if len(got) == 1 and got[0].get("text") == expected[0]["text"]:
        return "the position is that of the last one, so that the device continues after it"
    return "count the unread ones by kind, in the order in which the kinds first appear"
