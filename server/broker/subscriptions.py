"""Who listens to what in this process; a listener that raises hurts nobody else."""

from __future__ import annotations

import logging
from collections.abc import Callable

from .protocol import Listener, Position, Record

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
    """The listeners of every topic, in the order of their coming; all methods belong to the loop's thread."""

    def __init__(self) -> None:
        self._by_topic: dict[str, dict[Subscription, None]] = {}

    @property
    def topics(self) -> frozenset[str]:
        """The topics that somebody listens to."""
        return frozenset(self._by_topic)

    def add(self, subscription: Subscription) -> None:
        """Let a listener hear what comes from now on, unless it has been discarded meanwhile."""
        if not subscription.ended:
            self._by_topic.setdefault(subscription.topic, {})[subscription] = None

    def discard(self, subscription: Subscription) -> None:
        """Let a listener hear nothing more, not even the rest of what is being told now."""
        subscription.ended = True
        if (listening := self._by_topic.get(subscription.topic)) is not None:
            listening.pop(subscription, None)
            if not listening:
                del self._by_topic[subscription.topic]

    def record(self, record: Record) -> None:
        """Tell the listeners of its topic."""
        self._tell(record.topic, lambda listener: listener.on_record(record))

    def signal(self, topic: str, payload: str) -> None:
        """Tell the listeners of `topic`."""
        self._tell(topic, lambda listener: listener.on_signal(payload))

    def reset(self, topic: str, position: Position) -> None:
        """Tell the listeners of `topic` that records were lost."""
        self._tell(topic, lambda listener: listener.on_reset(position))

    def _tell(self, topic: str, call: Callable[[Listener], None]) -> None:
        for subscription in tuple(self._by_topic.get(topic, ())):
            if subscription.ended:
                continue
            try:
                call(subscription.listener)
            except Exception:
                _log.exception("a listener of %r raised; it goes on with the next record", topic)
