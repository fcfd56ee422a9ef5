"""The listeners of this process, by topic; one that raises is logged and doesn't affect the others."""

from __future__ import annotations

import logging

from .interface import Listener, Position, Record

__all__ = ["Subscription", "Subscriptions"]

_log = logging.getLogger(__name__)


class Subscription:
    """One listener of one topic, from `Subscriptions.add` to `Subscriptions.discard`."""

    __slots__ = ("ended", "listener", "topic")

    def __init__(self, topic: str, listener: Listener) -> None:
        self.topic = topic
        self.listener = listener
        self.ended = False


class Subscriptions:
    """The listeners of every topic, in the order in which they were added; call every method on the loop's thread."""

    def __init__(self) -> None:
        self._by_topic: dict[str, dict[Subscription, None]] = {}

    @property
    def topics(self) -> frozenset[str]:
        """The topics that have a listener."""
        return frozenset(self._by_topic)

    def add(self, subscription: Subscription) -> None:
        """Call the listener from now on; do nothing if it has been discarded already."""
        if not subscription.ended:
            self._by_topic.setdefault(subscription.topic, {})[subscription] = None

    def discard(self, subscription: Subscription) -> None:
        """Never call the listener again, not even for a record that is being delivered right now."""
        subscription.ended = True
        if (subscriptions := self._by_topic.get(subscription.topic)) is not None:
            subscriptions.pop(subscription, None)
            if not subscriptions:
                del self._by_topic[subscription.topic]

    def notify_record(self, record: Record) -> None:
        """Call `on_record` of every listener of the record's topic."""
        for subscription in tuple(self._by_topic.get(record.topic, ())):
            if not subscription.ended:
                try:
                    subscription.listener.on_record(record)
                except Exception:
                    _log_failure(record.topic)

    def notify_signal(self, topic: str, payload: str) -> None:
        """Call `on_signal` of every listener of the topic."""
        for subscription in tuple(self._by_topic.get(topic, ())):
            if not subscription.ended:
                try:
                    subscription.listener.on_signal(payload)
                except Exception:
                    _log_failure(topic)

    def notify_reset(self, topic: str, position: Position) -> None:
        """Call `on_reset` of every listener of the topic."""
        for subscription in tuple(self._by_topic.get(topic, ())):
            if not subscription.ended:
                try:
                    subscription.listener.on_reset(position)
                except Exception:
                    _log_failure(topic)


def _log_failure(topic: str) -> None:
    _log.exception("a listener of %r raised; it gets the next record all the same", topic)
