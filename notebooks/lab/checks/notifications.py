"""Checks of the exercises of lesson 05; that of exercise 3 is in `notifications_stream`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..verdict import NotYet, judged, refuse_stub, result_of, shown
from .notifications_stream import check_stream

__all__ = ["check_digest", "check_mute", "check_stream"]

Notification = dict[str, Any]


# exercise 1


class _Outbox:
    """What `Muting` puts into."""

    def __init__(self) -> None:
        self.got: list[Any] = []

    def put(self, message: Any = None) -> None:
        self.got.append(message.copy() if isinstance(message, dict) else message)

    def __repr__(self) -> str:
        return "outbox"


STEPS: tuple[tuple[str, str, int, bool], ...] = (
    ("", "chat", 1, True),
    ("mute chat", "chat", 2, False),
    ("", "order", 3, True),
    ("mute order", "order", 4, False),
    ("", "chat", 5, False),
    ("unmute chat", "chat", 6, True),
    ("unmute chat", "chat", 7, True),
    ("", "order", 8, False),
)
"""What the laptop says, then the kind and position of a notification, and whether the laptop should hear all of it."""


@judged("a muted kind is quiet on this device only, and its positions still arrive")
def check_mute(muting: Any) -> None:
    """Check ``muting(outbox)``, which returns `hear` and `put`: it mutes and unmutes kinds on one device."""
    outboxes = _Outbox(), _Outbox()
    laptop, phone = (_device(muting, outbox) for outbox in outboxes)
    said: list[str] = []
    for words, kind, position, wanted in STEPS:
        if words:
            said.append(words)
            result_of(laptop[0], words)
        whole = {"position": position, "kind": kind, "text": f"{kind} {position}"}
        notification = whole.copy()
        for device in (laptop, phone):
            result_of(device[1], notification)
            if notification != whole:
                raise NotYet(f"put has changed the dict {shown(whole)}, which all devices get; hand over another one")
        after = f"the laptop said {', '.join(map(repr, said))}; then" if said else "nothing was muted, and"
        expected = whole if wanted else {"position": position}
        _expect_put(outboxes[0], expected, f"{after} to a notification of the kind {kind!r} the laptop", kind)
        _expect_put(outboxes[1], whole, f"{after} to a notification of the kind {kind!r} the phone", kind)


def _device(muting: Any, outbox: _Outbox) -> tuple[Any, Any]:
    """The two functions for one device."""
    returned = result_of(muting, outbox)
    if not isinstance(returned, tuple) or len(returned) != 2 or not all(map(callable, returned)):
        raise NotYet(f"muting(outbox) returned {shown(returned)}, expected two functions: `return hear, put`")
    return returned[0], returned[1]


def _expect_put(outbox: _Outbox, expected: Notification, who: str, kind: str) -> None:
    got, outbox.got = outbox.got, []
    if got == [expected]:
        return
    told = ", then ".join(map(shown, got)) if got else "nothing"
    raise NotYet(f"{who} got {told}, expected {shown(expected)}; {_mute_hint(got, expected, who, kind)}")


def _mute_hint(got: list[Any], expected: Notification, who: str, kind: str) -> str:
    if len(got) > 1:
        return "call `outbox.put` once"
    if who.endswith("phone"):
        return "make the set inside of `muting`, one for each device"
    if not got:
        if len(expected) == 1:
            return "without its position, the device would ask for it again when it comes back"
        return f"hand it to `outbox.put`; {kind!r} is not muted"
    if len(expected) == 1:
        return f"of a muted kind only the position; is {kind!r} still muted after the others?"
    return f"{kind!r} is not muted, so hand over all of it"


# exercise 2

HOUR = 3_600  # seconds


def _missed(*kinds: str, first: int = 4) -> list[Notification]:
    return [{"position": position, "kind": kind} for position, kind in enumerate(kinds, first)]


CASES: tuple[tuple[list[Notification], int, int, list[Notification]], ...] = (
    (_missed("order", "chat"), 3, 600, _missed("order", "chat")),
    (_missed("order", "chat", "chat"), 5, 600, _missed("chat", first=6)),
    (_missed("order", "chat", "order"), 3, HOUR, [{"position": 6, "text": "2 order, 1 chat"}]),
    (_missed("news"), 0, 90_000, [{"position": 4, "text": "1 news"}]),
    (_missed("chat", "order", "chat", "order", "chat"), 5, 7_200, [{"position": 8, "text": "2 chat, 1 order"}]),
    (_missed("order", "chat", "chat", "chat"), 4, 7_200, [{"position": 7, "text": "3 chat"}]),
    (_missed("order", "chat"), 5, 7_200, []),
    ([], 0, 7_200, []),
)
"""What was missed, up to where it was read, the seconds away, and what there is to show."""


@judged("what is read is left out, and after an hour the rest comes as one line")
def check_digest(digest: Callable[..., Any]) -> None:
    """Check ``digest(missed, read, away)``: the unread ones, or one that counts them by kind after an hour away."""
    refuse_stub(digest)
    for missed, read, away, expected in CASES:
        given = [one.copy() for one in missed]
        got = result_of(_named(digest, given, read, away))
        if given != missed:
            raise NotYet(f"{_told(missed, read, away)}: digest has changed the list that it was given; make a new one")
        if got != expected:
            hint = _digest_hint(got, expected, away)
            raise NotYet(f"{_told(missed, read, away)}: got {shown(got)}, expected {shown(expected)}; {hint}")


def _named(digest: Callable[..., Any], *args: Any) -> Callable[[], Any]:
    """The call as a function of the same name without arguments: they are too long for a sentence."""

    def call() -> Any:
        return digest(*args)

    call.__name__ = getattr(digest, "__name__", "digest")
    return call


def _told(missed: list[Notification], read: int, away: int) -> str:
    kinds = ", ".join(f"{one['position']} {one['kind']}" for one in missed) or "nothing"
    return f"missed {kinds}, read up to {read}, {away:,} s away"


def _digest_hint(got: Any, expected: list[Notification], away: int) -> str:
    if not isinstance(got, list):
        return "does the function `return` it?" if got is None else "return a list, also for one or none"
    if not expected:
        return "nothing is unread, so there is nothing to show"
    if "text" not in expected[0]:
        return "under an hour each that is unread comes as it is"
    if got and not all(isinstance(one, dict) and "text" in one for one in got):
        return "an hour is 3,600 seconds" if away == HOUR else "after an hour all come as one dict with a text"
    if len(got) == 1 and got[0].get("text") == expected[0]["text"]:
        return "the position is that of the last, so that the device goes on after it"
    return "count the unread ones by kind, in the order in which the kinds came"
