"""Checks of the exercises of lesson 04; that of exercise 1 is in `broadcasting_latest`."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

from server.broker import History, Position, Record

from .broadcasting_latest import check_latest
from .deeper.once import check_joined, check_publish_once
from .verdict import NotYet, judged, refuse_stub, result_of, shown

__all__ = ["check_joined", "check_latest", "check_missed", "check_publish_once", "check_room_limit"]


# exercise 2

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


# exercise 3

EPOCH, EARLIER = "b7", "a1"


def _history(first: int, last: int, *, complete: bool = True) -> History:
    """Return a history with the records from `first` to `last`; with none if `first` is later."""
    positions = [Position(EPOCH, offset) for offset in range(first, last + 1)]
    records = tuple(Record("lobby", position, f"message {position.offset}", 0.0) for position in positions)
    return History(records, Position(EPOCH, last), complete)


CASES = (
    ("7", Position(EPOCH, 7), _history(8, 10), (3, 0)),
    ("10", Position(EPOCH, 10), _history(11, 10), (0, 0)),
    ("0, so nothing,", Position(EPOCH, 0), _history(1, 4), (4, 0)),
    ("2", Position(EPOCH, 2), _history(6, 10, complete=False), (5, 3)),
    ("2", Position(EPOCH, 2), _history(11, 10, complete=False), (0, 8)),
    ("4 of an earlier epoch", Position(EARLIER, 4), _history(1, 9, complete=False), (9, None)),
)
"""What a client has seen, in words and as a position; what the broker returns; the expected answer."""


@judged("kept and lost messages are counted, and lost is None where nobody can know it")
def check_missed(missed: Callable[[Position, History], Any]) -> None:
    """Check ``missed(seen, history)``: it returns how many messages are still kept, and how many are lost.

    After another epoch nobody can know how many were lost: that is None.
    """
    refuse_stub(missed)
    for words, seen, history, expected in CASES:
        try:
            got = result_of(_named(missed, seen, history))
        except NotYet as missing:
            hint = "; the kept messages are in `history.records`" if "'History'" in str(missing) else ""
            raise NotYet(f"{missing}{hint}") from None
        if got != expected:
            raise NotYet(
                f"{_told(words, history)}: got {shown(got)}, expected {expected}; {_missed_hint(got, expected)}"
            )


def _named(missed: Callable[[Position, History], Any], seen: Position, history: History) -> Callable[[], Any]:
    """Return the call as a function without arguments, because a history is too long for a sentence."""

    def call() -> Any:
        return missed(seen, history)

    call.__name__ = "missed"
    return update_wrapper(call, missed)  # an error is then shown with the reader's line


def _told(words: str, history: History) -> str:
    offsets = [record.position.offset for record in history.records]
    kept = f"{offsets[0]} to {offsets[-1]} are kept" if offsets else f"none of {history.position.offset} is kept"
    return f"a client has seen {words} and {kept}"


def _missed_hint(got: Any, expected: tuple[int, int | None]) -> str:
    if got is None:
        return "does the function `return` it?"
    if not isinstance(got, tuple) or len(got) != 2:
        return "return a tuple of two: how many are kept, and how many are lost"
    if got[0] != expected[0]:
        return "the kept messages are in `history.records`"
    if expected[1] is None:
        return "offsets of different epochs can't be compared, so compare the epochs first"
    return "the newest offset is in `history.position`; what came after `seen` and is not among the records is lost"
