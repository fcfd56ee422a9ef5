"""Listeners may come and go while a record is delivered; each receives only what it subscribed to."""

from __future__ import annotations

from collections.abc import Callable

from server.broker import Position, Record
from server.broker.listeners import Subscription, Subscriptions
from tests.server.broker.recorder import Recorder


class Acts(Recorder):
    """A listener that does something when it receives its first record."""

    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__()
        self._act = act

    def on_record(self, record: Record) -> None:
        """Note it, then act."""
        super().on_record(record)
        if len(self.records) == 1:
            self._act()


def _record(offset: int) -> Record:
    return Record("t", Position("e", offset), "x", 0.0)


def test_listener_that_another_discards_receives_nothing_more() -> None:
    """It doesn't receive the record that is being delivered either."""
    subscriptions = Subscriptions()
    second = Subscription("t", received := Recorder())
    subscriptions.add(Subscription("t", Acts(lambda: subscriptions.discard(second))))
    subscriptions.add(second)
    subscriptions.notify_record(_record(1))
    assert received.records == []


def test_listener_that_is_added_during_a_delivery_receives_the_next() -> None:
    """A record is delivered to the listeners that were there when it arrived."""
    subscriptions = Subscriptions()
    received = Recorder()
    subscriptions.add(Subscription("t", Acts(lambda: subscriptions.add(Subscription("t", received)))))
    subscriptions.notify_record(_record(1))
    subscriptions.notify_record(_record(2))
    assert received.offsets == [2]


def test_listener_that_was_discarded_before_it_is_added() -> None:
    """A subscription that was cancelled while its broker worked on it isn't added afterwards."""
    subscriptions = Subscriptions()
    subscription = Subscription("t", received := Recorder())
    subscriptions.discard(subscription)
    subscriptions.add(subscription)
    subscriptions.notify_record(_record(1))
    assert received.records == []
    assert subscriptions.topics == frozenset()


def test_topic_is_forgotten_with_its_last_listener() -> None:
    """A topic without listeners takes no memory; discarding twice is harmless."""
    subscriptions = Subscriptions()
    one, two = Subscription("t", Recorder()), Subscription("t", Recorder())
    subscriptions.add(one)
    subscriptions.add(two)
    subscriptions.discard(one)
    assert subscriptions.topics == {"t"}
    for _ in range(2):
        subscriptions.discard(two)
    assert subscriptions.topics == frozenset()
