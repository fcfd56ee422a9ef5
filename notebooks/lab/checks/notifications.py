"""Checks of the exercises of lesson 05; that of exercise 3 is in `notifications_stream`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .deeper.drain import check_drain
from .deeper.streaming import check_budget, check_several
from .notifications_stream import check_stream
from .verdict import NotYet, judged, refuse_stub, result_of, shown

__all__ = [
    "check_budget",
    "check_digest",
    "check_drain",
    "check_mute",
    "check_receive",
    "check_several",
    "check_stream",
]

Notification = dict[str, Any]


# exercise 1


class Phone:
    """A phone, as the lesson has it; its name stands in error messages."""

    def __init__(self) -> None:
        self.position = 0
        self.shown: list[str] = []


def _notification(position: int, text: str) -> Notification:
    return {"type": "notification", "position": position, "text": text}


def _read(position: int) -> Notification:
    return {"type": "read", "position": position}


MESSAGES: tuple[tuple[Notification, bool, str], ...] = (
    (_notification(1, "paid"), True, "show what is new"),
    (_notification(2, "shipped"), True, "show what is new"),
    (_notification(2, "shipped"), False, "that came twice; its position is not greater than the one that was noted"),
    (_notification(1, "paid"), False, "an old one came again; its position is smaller than the one that was noted"),
    (_read(2), False, "that is a read mark: nothing to show"),
    (_notification(3, "delivered"), True, "show what is new"),
    (_read(4), False, "that is a read mark: nothing to show, and nothing to note"),
    (_notification(4, "paid"), True, "it is new, although its text is known; compare the positions"),
    (_notification(7, "returned"), True, "positions may have gaps; everything above the noted one is new"),
)
"""What the phone gets, whether it is shown, and a hint for who thinks otherwise."""


@judged("each notification is shown and noted once, and read marks are left alone")
def check_receive(receive: Any) -> None:
    """Check ``receive(phone, message)``: it shows and notes each notification once, whatever comes again."""
    refuse_stub(receive)
    phone, shown_texts, noted = Phone(), list[str](), 0
    for message, is_new, hint in MESSAGES:
        result_of(_call(receive, phone, dict(message)))
        if is_new:
            shown_texts.append(message["text"])
            noted = message["position"]
        for name, got, expected in (("shown", phone.shown, shown_texts), ("position", phone.position, noted)):
            if got != expected:
                what = f"after {shown(message)} phone.{name} is {shown(got)}, expected {shown(expected)}"
                raise NotYet(f"{what}; {hint}")


# in deeper/four-ways


class Outbox:
    """The outbox of a device, which keeps what is put; its name stands in error messages."""

    def __init__(self) -> None:
        self.got: list[Any] = []

    def put(self, message: Any = None) -> None:
        """Keep a message, as it is now."""
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
"""What the laptop says; then a notification's kind and position, and whether the laptop gets all of it."""


@judged("on this device only positions arrive of a muted kind, and other devices get all of it")
def check_mute(muting: Any) -> None:
    """Check ``muting(outbox)``, which returns `hear` and `put`: it mutes and unmutes kinds on one device."""
    outboxes = Outbox(), Outbox()
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
                raise NotYet(f"put has changed the dict {shown(whole)}, which every device gets; pass a new dict on")
        after = f"the laptop said {', '.join(map(repr, said))}; then" if said else "nothing was muted, and"
        expected = whole if wanted else {"position": position}
        _expect_put(outboxes[0], expected, f"{after} to a notification of the kind {kind!r} the laptop", kind)
        _expect_put(outboxes[1], whole, f"{after} to a notification of the kind {kind!r} the phone", kind)


def _device(muting: Any, outbox: Outbox) -> tuple[Any, Any]:
    """Return the two functions for one device."""
    returned = result_of(muting, outbox)
    if not isinstance(returned, tuple) or len(returned) != 2 or not all(map(callable, returned)):
        raise NotYet(f"muting(outbox) returned {shown(returned)}, expected two functions: `return hear, put`")
    return returned[0], returned[1]


def _expect_put(outbox: Outbox, expected: Notification, who: str, kind: str) -> None:
    got, outbox.got = outbox.got, []
    if got == [expected]:
        return
    told = ", then ".join(map(shown, got)) if got else "nothing"
    raise NotYet(f"{who} got {told}, expected {shown(expected)}; {_mute_hint(got, expected, who, kind)}")


def _mute_hint(got: list[Any], expected: Notification, who: str, kind: str) -> str:
    if len(got) > 1:
        return "call `outbox.put` once"
    if who.endswith("phone"):
        return "make the set inside `muting`, one for each device"
    if not got:
        if len(expected) == 1:
            return "without its position, the device would ask for it again when it comes back"
        return f"pass it to `outbox.put`; {kind!r} is not muted"
    if len(expected) == 1:
        return f"of a muted kind pass on only the position; is {kind!r} still muted after the others?"
    return f"{kind!r} is not muted, so pass on all of it"


# exercise 2

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
        got = result_of(_call(digest, given, read, away))
        if given != missed:
            raise NotYet(f"{_told(missed, read, away)}: digest has changed the list that it was given; make a new one")
        if got != expected:
            hint = _digest_hint(got, expected, away)
            raise NotYet(f"{_told(missed, read, away)}: got {shown(got)}, expected {shown(expected)}; {hint}")


def _call(function: Callable[..., Any], *args: Any) -> Callable[[], Any]:
    """Return the call as a function without arguments, because they are too long for a sentence."""

    def call() -> Any:
        return function(*args)

    call.__name__ = getattr(function, "__name__", "your function")
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
        return "under an hour, return the unread notifications as they are"
    if got and not all(isinstance(one, dict) and "text" in one for one in got):
        return "an hour is 3,600 seconds" if away == HOUR else "after an hour, return a list of one dict with a text"
    if len(got) == 1 and got[0].get("text") == expected[0]["text"]:
        return "the position is that of the last one, so that the device continues after it"
    return "count the unread ones by kind, in the order in which the kinds first appear"
