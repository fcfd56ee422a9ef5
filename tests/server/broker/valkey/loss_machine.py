"""What must hold when an engine comes back from older snapshots: a machine that tries any order of losses and calls.

The engine is a real one. It loads its last snapshot and ends every connection in one step, which is what a restart does
to its clients. What it has stored is read beside the brokers, without a script, so that looking changes nothing.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import redis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from lab.servers.valkey import Engine

from server.broker import Limits, Position, Record, UnavailableError
from server.broker.valkey.broker import ValkeyBroker
from tests.server.broker.recorder import Recorder
from tests.server.broker.scenario import until

__all__ = ["loss_machine"]

T = TypeVar("T")

LIMITS = Limits(records=4)
TOPICS = st.sampled_from(["a", "b"])
PROCESSES = st.integers(0, 1)
KEYS = st.none() | st.sampled_from(["k", "l"])
PUBLICATIONS = st.lists(st.tuples(PROCESSES, TOPICS, KEYS), max_size=4)


class _Process:
    """A broker and everything that was seen through it: no position ever has two different records."""

    def __init__(self, url: str, prefix: str) -> None:
        self.broker = ValkeyBroker(url, prefix=prefix, limits=LIMITS, deadline=10.0, check=0.1)
        self.seen: dict[tuple[str, Position], str] = {}

    def saw(self, topic: str, position: Position, payload: str) -> None:
        """Note the record at a position of a topic."""
        assert self.seen.setdefault((topic, position), payload) == payload, f"{position} of {topic!r} was given twice"


class _Listener(Recorder):
    """Listens for a process, from a position on; after a reset it begins again."""

    def __init__(self, process: _Process, topic: str) -> None:
        super().__init__()
        self.topic = topic
        self.start: Position | None = None
        self.since: dict[int, str] = {}
        self._process = process

    @property
    def position(self) -> Position | None:
        """The position of the last record that was received."""
        return Position(self.start.epoch, self.start.offset + len(self.since)) if self.start else None

    def on_record(self, record: Record) -> None:
        """Take the next record."""
        super().on_record(record)
        self._process.saw(self.topic, record.position, record.payload)
        self.since[record.position.offset] = record.payload

    def on_reset(self, position: Position) -> None:
        """Start again."""
        super().on_reset(position)
        self.start = position
        self.since.clear()


@dataclass
class _Stored:
    """What the engine has of a topic now."""

    position: Position | None
    payloads: dict[int, str]


def _began(position: Position) -> int:
    """The microsecond at which the epoch of a position began: no topic goes back to an older one."""
    return int(position.epoch.split("-")[0])


class LossMachine(RuleBasedStateMachine):
    """Any order of publish, read, listen, snapshot and loss, with two brokers over one engine."""

    engine: ClassVar[Engine]

    def __init__(self) -> None:
        super().__init__()
        self._prefix = uuid.uuid4().hex  # the engine keeps the topics of the example before
        self._direct: Any = redis.from_url(self.engine.url, decode_responses=True)
        self._direct.save()
        self._count = 0
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._processes = [_Process(self.engine.url, self._prefix) for _ in range(2)]
        self._listeners: list[tuple[_Listener, AsyncExitStack]] = []

    def _run(self, call: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(call)

    @initialize()
    def begin(self) -> None:
        """Open both brokers."""
        for process in self._processes:
            self._run(self._stack.enter_async_context(process.broker))

    def _stored(self, topic: str) -> _Stored:
        base = f"{self._prefix}:{{{topic}}}"
        epoch, offset = self._direct.hmget(f"{base}:meta", "epoch", "offset")
        entries = self._direct.xrange(f"{base}:log")
        payloads = {int(identity.split("-")[0]): fields["payload"] for identity, fields in entries}
        return _Stored(Position(epoch, int(offset)) if epoch else None, payloads)

    async def _publish(self, process: _Process, topic: str, key: str | None) -> Position:
        self._count += 1
        payload = f"{self._count} {key}"
        position = await process.broker.publish(topic, payload, key=key)
        if key is None:
            process.saw(topic, position, payload)
        return position

    @rule(number=PROCESSES, topic=TOPICS, key=KEYS)
    def publish(self, number: int, topic: str, key: str | None) -> None:
        """Publish something: what is confirmed is in the log, in its epoch."""
        position = self._run(self._publish(self._processes[number], topic, key))
        stored = self._stored(topic)
        assert stored.position is not None
        assert _began(position) <= _began(stored.position)  # the other process may have found out about a loss since
        assert position.offset <= stored.position.offset
        if key is None:
            assert stored.payloads[position.offset] == f"{self._count} None"
        elif position.offset in stored.payloads:
            assert stored.payloads[position.offset].endswith(f" {key}")

    @rule()
    def snapshot(self) -> None:
        """Let the engine write a snapshot."""
        self._direct.save()

    @rule(meanwhile=PUBLICATIONS)
    def lose(self, meanwhile: list[tuple[int, str, str | None]]) -> None:
        """Go back to the last snapshot while publications are on their way: each is stored before the loss or after."""
        self._run(self._lose(meanwhile))

    async def _lose(self, meanwhile: list[tuple[int, str, str | None]]) -> None:
        tasks = [
            asyncio.create_task(self._publish(self._processes[number], topic, key)) for number, topic, key in meanwhile
        ]
        for _ in range(self._count % 4):
            await asyncio.sleep(0)
        with self._direct.pipeline() as together:
            together.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            together.execute_command("CLIENT", "KILL", "TYPE", "normal")
            together.execute_command("DEBUG", "RELOAD", "NOSAVE")
            together.execute()
        for task in tasks:
            with suppress(UnavailableError):
                await task

    @rule(number=PROCESSES, back=st.integers(0, 31))
    def resume(self, number: int, back: int) -> None:
        """Read on from a position: a complete history continues from the record that was seen there."""
        process = self._processes[number]
        if not process.seen:
            return
        # a number that is drawn, and not a position: what has been received by now is not for the test to say
        topic, position = list(process.seen)[-1 - back % len(process.seen)]
        history = self._run(process.broker.history(topic, position))
        for record in history.records:
            process.saw(topic, record.position, record.payload)
        stored = self._stored(topic)
        assert stored.position is not None
        assert _began(history.position) <= _began(stored.position)
        assert history.position.offset == stored.position.offset
        if not history.complete:
            return
        assert position.epoch == history.position.epoch
        assert [record.position.offset for record in history.records] == list(
            range(position.offset + 1, history.position.offset + 1)
        )
        assert stored.payloads.get(position.offset, process.seen[topic, position]) == process.seen[topic, position]

    @precondition(lambda self: len(self._listeners) < 4)
    @rule(number=PROCESSES, topic=TOPICS)
    def subscribe(self, number: int, topic: str) -> None:
        """Add a listener to one of them."""
        process, stack = self._processes[number], AsyncExitStack()
        listener = _Listener(process, topic)
        listener.start = self._run(stack.enter_async_context(process.broker.subscribe(topic, listener)))
        self._listeners.append((listener, stack))

    @precondition(lambda self: self._listeners)
    @rule(data=st.data())
    def unsubscribe(self, data: st.DataObject) -> None:
        """Remove a listener."""
        subscribed = data.draw(st.sampled_from(self._listeners))
        self._listeners.remove(subscribed)
        self._run(subscribed[1].aclose())

    @invariant()
    def a_key_stores_once(self) -> None:
        """No two records that the engine has at the same time were published with one key."""
        for topic in ("a", "b"):
            keys = [payload.split()[1] for payload in self._stored(topic).payloads.values()]
            keyed = [key for key in keys if key != "None"]
            assert len(keyed) == len(set(keyed))

    @invariant()
    def every_listener_receives_what_is_stored(self) -> None:
        """Each listener gets to the end of the log, and has received what the log has."""
        for listener, _ in self._listeners:
            self._run(until(lambda listener=listener: self._has_received_all(listener)))  # type: ignore[misc]

    def _has_received_all(self, listener: _Listener) -> bool:
        stored = self._stored(listener.topic)
        assert listener.start is not None
        after = {offset: payload for offset, payload in stored.payloads.items() if offset > listener.start.offset}
        return listener.position == stored.position and after.items() <= listener.since.items()

    def teardown(self) -> None:
        """Close everything."""
        for _, stack in self._listeners:
            self._run(stack.aclose())
        self._run(self._stack.aclose())
        self._runner.close()
        self._direct.close()


def loss_machine(engine: Engine) -> type[LossMachine]:
    """Return the machine over an engine that is for it alone and accepts DEBUG."""
    return type("Machine", (LossMachine,), {"engine": engine})
