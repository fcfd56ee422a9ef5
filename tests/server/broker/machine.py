"""What a broker must answer, as a model in plain Python, and a machine that compares both in any order of calls."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from server.broker import Limits, Position
from tests.server.broker.conftest import MakeBroker
from tests.server.broker.recorder import Recorder

__all__ = ["BrokerMachine", "Clock", "machine"]

T = TypeVar("T")

TOPICS = st.sampled_from(["a", "b"])
LIMITS = Limits(records=4, seconds=100.0, payload_bytes=100, key_seconds=60.0)


class Clock:
    """Seconds since 1970, moved by the test."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@dataclass
class _Log:
    """One topic of the model: everything that was ever published in this epoch."""

    epoch: str = ""
    entries: list[tuple[str, float]] = field(default_factory=list)
    keys: dict[str, tuple[int, float]] = field(default_factory=dict)
    signals: list[str] = field(default_factory=list)

    def first(self, now: float) -> int:
        """Return the offset of the oldest record that is kept."""
        for offset in range(max(1, len(self.entries) - LIMITS.records + 1), len(self.entries) + 1):
            if self.entries[offset - 1][1] >= now - LIMITS.seconds:
                return offset
        return len(self.entries) + 1


@dataclass
class _Subscribed:
    """One subscription of the model: what its listener must have received."""

    topic: str
    received: Recorder
    stack: AsyncExitStack
    payloads: list[str] = field(default_factory=list)
    signals: list[str] = field(default_factory=list)
    resets: int = 0


class BrokerMachine(RuleBasedStateMachine):
    """Any order of publish, history, subscribe, signal, drop and, with a `clock`, passing time."""

    make_broker: ClassVar[MakeBroker]
    clock: ClassVar[Clock | None]

    def __init__(self) -> None:
        super().__init__()
        self._name = uuid.uuid4().hex  # an engine keeps the topics of the example before
        self._clock = self.clock
        self._logs: dict[str, _Log] = {}
        self._subscribed: list[_Subscribed] = []
        self._old_epochs = [""]
        self._count = 0
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._broker = self._run(self._stack.enter_async_context(type(self).make_broker(LIMITS)))

    def _run(self, call: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(call)

    @property
    def _now(self) -> float:
        return self._clock.now if self._clock else 0.0

    def _topic(self, topic: str) -> str:
        return f"{self._name} {topic}"

    def _learn(self, log: _Log, position: Position) -> None:
        log.epoch = log.epoch or position.epoch
        assert position == Position(log.epoch, len(log.entries))

    @initialize()
    def begin(self) -> None:
        """Both topics are empty."""
        self._logs = {"a": _Log(), "b": _Log()}

    @rule(topic=TOPICS, key=st.none() | st.sampled_from(["k", "l"]))
    def publish(self, topic: str, key: str | None) -> None:
        """Publish something that no other call has published."""
        log = self._logs[topic]
        self._count += 1
        payload = f"payload {self._count}"
        position = self._run(self._broker.publish(self._topic(topic), payload, key=key))
        log.epoch = log.epoch or position.epoch
        if key in log.keys and log.keys[key][1] >= self._now - LIMITS.key_seconds:
            assert position == Position(log.epoch, log.keys[key][0])
            return
        # a clock that is set back does not make a record older than the one before it
        log.entries.append((payload, max([self._now, *(time for _, time in log.entries[-1:])])))
        if key is not None:
            log.keys[key] = (len(log.entries), self._now)
        self._learn(log, position)
        for subscribed in self._subscribed:
            if subscribed.topic == topic:
                subscribed.payloads.append(payload)

    @rule(topic=TOPICS)
    def signal(self, topic: str) -> None:
        """Signal something that no other call has signalled."""
        self._count += 1
        payload = f"signal {self._count}"
        self._run(self._broker.signal(self._topic(topic), payload))
        for subscribed in self._subscribed:
            if subscribed.topic == topic:
                subscribed.signals.append(payload)

    @rule(topic=TOPICS, back=st.integers(-1, 7), known=st.booleans(), limit=st.none() | st.integers(0, 5))
    def resume(self, topic: str, back: int, known: bool, limit: int | None) -> None:
        """Read what comes after a position: a recent one, one of the future, or one of an old epoch."""
        log = self._logs[topic]
        last = len(log.entries)
        offset = max(0, last - back)
        after = Position(log.epoch if known else self._old_epochs[-1], offset)
        history = self._run(self._broker.history(self._topic(topic), after, limit=limit))
        known = known and bool(log.epoch)
        self._learn(log, history.position)
        first = log.first(self._now)
        complete = known and first - 1 <= offset <= last
        assert history.complete == complete
        self._check(log, history.records, list(range(offset + 1 if complete else first, last + 1))[:limit])

    @rule(topic=TOPICS, limit=st.none() | st.integers(0, 5))
    def read_newest(self, topic: str, limit: int | None) -> None:
        """Read the newest records."""
        log = self._logs[topic]
        history = self._run(self._broker.history(self._topic(topic), limit=limit))
        self._learn(log, history.position)
        assert history.complete
        kept = list(range(log.first(self._now), len(log.entries) + 1))
        self._check(log, history.records, kept if limit is None else kept[len(kept) - min(limit, len(kept)) :])

    def _check(self, log: _Log, records: tuple[Any, ...], offsets: list[int]) -> None:
        assert [record.position for record in records] == [Position(log.epoch, offset) for offset in offsets]
        assert [record.payload for record in records] == [log.entries[offset - 1][0] for offset in offsets]

    @precondition(lambda self: len(self._subscribed) < 4)
    @rule(topic=TOPICS)
    def subscribe(self, topic: str) -> None:
        """Subscribe one more listener."""
        subscribed = _Subscribed(topic, Recorder(), AsyncExitStack())
        position = self._run(
            subscribed.stack.enter_async_context(self._broker.subscribe(self._topic(topic), subscribed.received))
        )
        self._learn(self._logs[topic], position)
        self._subscribed.append(subscribed)

    @precondition(lambda self: self._subscribed)
    @rule(data=st.data())
    def unsubscribe(self, data: st.DataObject) -> None:
        """Unsubscribe one of them."""
        subscribed = data.draw(st.sampled_from(self._subscribed))
        self._subscribed.remove(subscribed)
        self._run(subscribed.stack.aclose())

    @rule(topic=TOPICS)
    def drop(self, topic: str) -> None:
        """Forget a topic."""
        if self._logs[topic].epoch:
            self._old_epochs.append(self._logs[topic].epoch)
        self._run(self._broker.drop(self._topic(topic)))
        self._logs[topic] = _Log()
        for subscribed in self._subscribed:
            if subscribed.topic == topic:
                subscribed.resets += 1

    @precondition(lambda self: self._clock is not None)
    @rule(seconds=st.sampled_from([-5.0, 0.0, 1.0, 30.0, 59.0, 61.0, 101.0]))
    def pass_time(self, seconds: float) -> None:
        """Let time pass, or set the clock back."""
        assert self._clock is not None
        self._clock.now += seconds

    @invariant()
    def every_listener_received_what_is_published(self) -> None:
        """Each listener has received what was published while it listened, in order, and nothing else."""
        for subscribed in self._subscribed:
            self._run(self._received_all(subscribed))

    async def _received_all(self, subscribed: _Subscribed) -> None:
        received = subscribed.received
        await received.until(
            records=len(subscribed.payloads), signals=len(subscribed.signals), resets=subscribed.resets
        )
        assert (received.payloads, received.signals) == (subscribed.payloads, subscribed.signals)
        assert len(received.resets) == subscribed.resets

    def teardown(self) -> None:
        """Close everything."""
        for subscribed in self._subscribed:
            self._run(subscribed.stack.aclose())
        self._run(self._stack.aclose())
        self._runner.close()


def machine(make_broker: MakeBroker, clock: Clock | None = None) -> type[BrokerMachine]:
    """Return the machine for one kind of broker; with its clock, if the test moves it."""
    return type("Machine", (BrokerMachine,), {"make_broker": staticmethod(make_broker), "clock": clock})
