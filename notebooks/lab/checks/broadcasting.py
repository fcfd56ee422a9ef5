"""Checks of the exercises of lesson 04; that of exercise 1 is in `broadcasting_latest`."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

from server.broker import History, Position, Record

from .broadcasting_latest import check_latest
from .deeper.once import check_joined, check_publish_once
from .verdict import NotYet, judged, refuse_stub, result_of, shown

__all__ = ["check_joined", "check_latest", "check_missed", "check_pass_on", "check_publish_once"]


# exercise 2

EVENTS = (
    ("subscribe", "lobby", 1),
    ("subscribe", "kitchen", 2),
    ("message", "lobby", "hello"),
    ("message", "kitchen", "tea?"),
    ("message", "lobby", "bye"),
    ("unsubscribe", "kitchen", 1),
)
"""The type of each event, its channel, and its data."""


class _NotedRoom:
    """A room that only notes what it is told to say."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.published: list[Any] = []

    def to_all(self, text: Any) -> None:
        self.heard.append(text)

    async def say(self, text: Any) -> None: ...

    def __getattribute__(self, name: str) -> Any:
        if name == "say":
            self.published.append(name)
        return super().__getattribute__(name)

    def __repr__(self) -> str:
        return "<room>"


@judged("each message reaches its own room, and no room hears of the other events")
def check_pass_on(pass_on: Callable[[dict[str, Any], dict[str, Any]], Any]) -> None:
    """Check ``pass_on(event, rooms)``: it gives the text of a message to ``to_all`` of the room with its channel."""
    refuse_stub(pass_on)
    for kind, channel, data in EVENTS:
        rooms = {"lobby": _NotedRoom(), "kitchen": _NotedRoom()}
        event = {"type": kind, "pattern": None, "channel": channel, "data": data}
        result_of(pass_on, event, rooms)
        if any(room.published for room in rooms.values()):
            raise NotYet("`say` would publish the text once more, without an end; call `to_all`")
        heard = {name: room.heard for name, room in rooms.items()}
        expected: dict[str, list[Any]] = {name: [] for name in rooms}
        if kind == "message":
            expected[channel] = [data]
        if heard != expected:
            told = f"after the event {kind} for the {channel} with the data {data!r}"
            got = ", ".join(f"the {name} has heard {shown(heard[name])}" for name in rooms)
            raise NotYet(f"{told}, {got}; {_pass_on_hint(heard, expected)}")


def _pass_on_hint(heard: dict[str, list[Any]], expected: dict[str, list[Any]]) -> str:
    if not any(expected.values()):
        return 'only an event of type "message" is passed on'
    if not any(heard.values()):
        return "call `to_all` of the room whose key is the event's channel"
    for name, texts in expected.items():
        if heard[name] and not texts:
            return "a message is for the room of its channel, and for no other"
        if len(heard[name]) > len(texts):
            return "call `to_all` once"
    return 'the text of a message is in `event["data"]`'


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
