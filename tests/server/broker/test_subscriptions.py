"""The listeners of a process come and go while they are told, and nobody hears what is not theirs."""

from __future__ import annotations

from collections.abc import Callable

from server.broker import Position, Record
from server.broker.subscriptions import Subscription, Subscriptions
from tests.server.broker.heard import Heard


class Acts(Heard):
    """A listener that does something when it hears its first record."""

    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__()
        self._act = act

    def on_record(self, record: Record) -> None:
        """Write it down, then act."""
        super().on_record(record)
        if len(self.records) == 1:
            self._act()


def _record(offset: int) -> Record:
    return Record("t", Position("e", offset), "x", 0.0)


def test_listener_that_is_ended_by_another_hears_nothing_more() -> None:
    """Not even the record that is being told to all."""
    subscriptions = Subscriptions()
    second = Subscription("t", heard := Heard())
    subscriptions.add(Subscription("t", Acts(lambda: subscriptions.discard(second))))
    subscriptions.add(second)
    subscriptions.record(_record(1))
    assert heard.records == []


def test_listener_that_comes_while_a_record_is_told_hears_the_next() -> None:
    """A record is told to those who were there when it came."""
    subscriptions = Subscriptions()
    heard = Heard()
    subscriptions.add(Subscription("t", Acts(lambda: subscriptions.add(Subscription("t", heard)))))
    subscriptions.record(_record(1))
    subscriptions.record(_record(2))
    assert heard.offsets == [2]


def test_listener_that_left_before_it_was_let_in_stays_out() -> None:
    """A subscription that was cancelled while its broker worked on it is not taken up afterwards."""
    subscriptions = Subscriptions()
    subscription = Subscription("t", heard := Heard())
    subscriptions.discard(subscription)
    subscriptions.add(subscription)
    subscriptions.record(_record(1))
    assert heard.records == []
    assert subscriptions.topics == frozenset()


def test_topic_is_forgotten_with_its_last_listener() -> None:
    """What nobody listens to takes no memory; leaving twice is harmless."""
    subscriptions = Subscriptions()
    one, two = Subscription("t", Heard()), Subscription("t", Heard())
    subscriptions.add(one)
    subscriptions.add(two)
    subscriptions.discard(one)
    assert subscriptions.topics == {"t"}
    for _ in range(2):
        subscriptions.discard(two)
    assert subscriptions.topics == frozenset()
