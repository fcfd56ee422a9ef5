"""Checks of the exercises of lesson 05; that of exercise 3 is in `notifications_stream`."""

from __future__ import annotations

from functools import wraps
from typing import Any

from .deeper.digest import check_digest
from .deeper.drain import check_drain
from .deeper.mute import check_mute
from .deeper.streaming import check_budget, check_several
from .notifications_stream import check_stream
from .verdict import NotYet, judged, refuse_stub, result_of, shown, without_arguments

__all__ = [
    "check_budget",
    "check_digest",
    "check_drain",
    "check_mute",
    "check_receive",
    "check_several",
    "check_stream",
    "check_tell_paid",
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
        result_of(without_arguments(receive, phone, dict(message)))
        if is_new:
            shown_texts.append(message["text"])
            noted = message["position"]
        for name, got, expected in (("shown", phone.shown, shown_texts), ("position", phone.position, noted)):
            if got != expected:
                what = f"after {shown(message)} phone.{name} is {shown(got)}, expected {shown(expected)}"
                raise NotYet(f"{what}; {hint}")


# exercise 2

TOO_MANY = 20  # pushes of one order after it was accepted


class _StopPushing(Exception):  # noqa: N818 - it ends a loop; nothing has failed
    """The order was accepted long ago."""


class Server:
    """A server that stores each key once, and whose answers may get lost; its name stands in error messages."""

    def __init__(self) -> None:
        self.keys: dict[Any, int] = {}
        """The order that each stored key belongs to."""
        self.pushes: list[tuple[Any, Any]] = []
        """The text and the key of each push of the present order."""
        self.accepted = 0
        """How many of them were answered with 202."""
        self._order = 0
        self._fates: list[str] = []

    def expect(self, order: int, *fates: str) -> None:
        """Begin with another order. `fates` are what happens to its first pushes; then each is accepted."""
        self._order, self._fates = order, list(fates)
        self.pushes, self.accepted = [], 0

    def try_push(self, text: str, key: str) -> bool:
        """Store the text, unless its key is known; return whether the answer has arrived."""
        if self.accepted > TOO_MANY:
            raise _StopPushing
        self.pushes.append((text, key))
        fate = self._fates.pop(0) if self._fates else ACCEPTED
        if fate != NOBODY and isinstance(key, str):
            self.keys.setdefault(key, self._order)
        self.accepted += fate == ACCEPTED
        return fate == ACCEPTED


ACCEPTED, LOST, NOBODY = "accepted", "stored, and its answer is lost", "the server is away"

ORDERS: tuple[tuple[int, tuple[str, ...]], ...] = (
    (7, ()),
    (8, (NOBODY,)),
    (9, (LOST,)),
    (10, (LOST, NOBODY, LOST)),
    (11, (NOBODY,) * 12),
)
"""The numbers of the orders, and what happens to the pushes of each before one is accepted."""


@judged("each order is pushed until it's accepted, with one key, and no other order has that key")
def check_tell_paid(tell_paid: Any) -> None:
    """Check ``tell_paid(try_push, number)``: it pushes an order until it's accepted, with a key of the order's own."""
    refuse_stub(tell_paid)
    server = Server()

    @wraps(tell_paid)
    def tell(*args: Any) -> Any:
        try:
            return tell_paid(*args)
        except _StopPushing:
            return None

    for number, fates in ORDERS:
        server.expect(number, *fates)
        result_of(without_arguments(tell, server.try_push, number))
        _expect_told(server, number)


def _expect_told(server: Server, number: int) -> None:
    """Raise `NotYet` unless the order is stored once, and was pushed as often as needed."""
    if not server.pushes:
        raise NotYet(f"order {number} was never pushed; call `try_push` with a text and a key")
    for text, key in server.pushes:
        if text != "paid":
            raise NotYet(f"order {number} was pushed with the text {shown(text)}, expected 'paid'")
        if not isinstance(key, str) or not key:
            raise NotYet(f"order {number} was pushed with the key {shown(key)}; a key is a text that names the order")
        if (other := server.keys.get(key, number)) != number:
            raise NotYet(
                f"order {number} isn't stored, because its key {shown(key)} is also that of order {other}; "
                "put the number into the key"
            )
    if not server.accepted:
        raise NotYet(f"order {number} got no answer, and isn't pushed any more; push until `try_push` returns True")
    keys = list(dict.fromkeys(key for _, key in server.pushes))
    if len(keys) > 1:
        raise NotYet(
            f"order {number} was pushed with the keys {shown(keys[0])} and {shown(keys[1])}, "
            "so it may be stored twice; choose the key once, before the first try"
        )
    if server.accepted > 1:
        raise NotYet(f"order {number} was pushed again after it was accepted; stop when `try_push` returns True")
