"""The check of the exercise in deeper/four-ways that mutes a kind of notification on one device."""

from __future__ import annotations

from typing import Any

from ..verdict import NotYet, judged, result_of, shown

__all__ = ["check_mute"]

Notification = dict[str, Any]


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
