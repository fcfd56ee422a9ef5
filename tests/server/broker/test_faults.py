"""Whatever happens to the engine or to the way there: nothing accepted is lost, told twice or out of order."""

from __future__ import annotations

import asyncio
import random
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest
import redis
from lab.engine import Engine
from lab.tap import Tap

from server.broker import Limits, Position, UnavailableError
from server.broker.valkey import ValkeyBroker
from tests.server.broker.heard import Heard

pytestmark = pytest.mark.skipif(Engine.available() is not None, reason=str(Engine.available()))

PUBLISHERS = 3


@pytest.fixture(autouse=True)
def own_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Harm engines of our own, also where VALKEY_URL is set."""
    monkeypatch.delenv("VALKEY_URL", raising=False)


@pytest.fixture(autouse=True)
def nothing_failed(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No listener has raised: `Heard` raises at a gap or a repetition, and a broker only logs that."""
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelname == "ERROR"] == []


@pytest.fixture
def lasting(tmp_path: Path) -> Iterator[Engine]:
    """An engine that writes before it answers."""
    with Engine(data=tmp_path) as engine:
        yield engine


@pytest.fixture
def forgetful() -> Iterator[Engine]:
    """An engine that comes back empty."""
    with Engine() as engine:
        yield engine


def broker(address: Engine | Tap, *, check: float = 60.0) -> ValkeyBroker:
    """A broker that is less patient than usual; the regular look at the positions is off unless a test wants it."""
    url = f"redis://127.0.0.1:{address.port}"
    return ValkeyBroker(url, limits=Limits(records=1_000_000), deadline=0.8, heartbeat=0.15, check=check)


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds that no event tells.

    Raises:
        TimeoutError: it does not within 10 s.
    """
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.01)


class Story:
    """Publishers that publish until `over`, each record until it is accepted, and what two brokers' listeners hear."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.accepted: dict[str, Position] = {}
        self.heard = [Heard(), Heard()]

    async def publish(self, broker: ValkeyBroker, name: int) -> None:
        """Publish, and again with the same key when it is not known whether it was stored."""
        number = 0
        while not self.over.is_set():
            number += 1
            payload = f"{name} {number}"
            while payload not in self.accepted:
                with suppress(UnavailableError):
                    self.accepted[payload] = await broker.publish("t", payload, key=payload)

    async def more(self, count: int) -> None:
        """Wait until so many more records have been accepted."""
        goal = len(self.accepted) + count
        await until(lambda: len(self.accepted) >= goal)


@asynccontextmanager
async def telling(*brokers: ValkeyBroker) -> AsyncIterator[Story]:
    """Publish through all of these brokers and listen at the first and the last, during the block."""
    story = Story()
    async with AsyncExitStack() as stack:
        for one in brokers:
            await stack.enter_async_context(one)
        for one, heard in zip((brokers[0], brokers[-1]), story.heard, strict=True):
            await stack.enter_async_context(one.subscribe("t", heard))
        async with asyncio.TaskGroup() as group:
            for name in range(PUBLISHERS):
                group.create_task(story.publish(brokers[name % len(brokers)], name))
            await story.more(20)
            yield story
            await story.more(20)
            story.over.set()
        last = await brokers[0].publish("t", "last", key="last")
        story.accepted["last"] = last
        for heard in story.heard:
            await until(lambda heard=heard: heard.records and heard.records[-1].payload == "last")  # type: ignore[misc]


def check_nothing_lost(story: Story) -> None:
    """Every accepted record was heard once, at its position, by both; each publisher's records in their order."""
    for heard in story.heard:
        assert heard.resets == []
        assert heard.offsets == list(range(1, len(heard.records) + 1))
        assert {record.payload: record.position for record in heard.records} == story.accepted
        assert len(heard.records) == len(story.accepted)
        for name in range(PUBLISHERS):
            own = [int(payload.split()[1]) for payload in heard.payloads if payload.startswith(f"{name} ")]
            assert own == list(range(1, len(own) + 1))


async def kill(engine: Engine, tap: Tap, rng: random.Random) -> None:
    """Kill -9, and back with its data after a while."""
    await asyncio.to_thread(engine.kill)
    await asyncio.sleep(rng.uniform(0, 0.3))
    await asyncio.to_thread(engine.restart)


async def stall(engine: Engine, tap: Tap, rng: random.Random) -> None:
    """The engine halts, shorter or longer than any deadline."""
    engine.stall()
    await asyncio.sleep(rng.choice([0.05, 0.3, 1.0]))
    engine.resume()


async def cut(engine: Engine, tap: Tap, rng: random.Random) -> None:
    """One direction of the cable, or both, swallows what it is given; later it arrives after all."""
    tap.cut(rng.choice(["client", "server", None]))
    await asyncio.sleep(rng.choice([0.05, 0.3, 1.0]))
    tap.mend()


async def reset(engine: Engine, tap: Tap, rng: random.Random) -> None:
    """All connections break, a few times."""
    for _ in range(rng.randrange(1, 6)):
        tap.reset()
        await asyncio.sleep(rng.uniform(0, 0.05))


async def lose(engine: Engine, tap: Tap, rng: random.Random) -> None:
    """What is on its way is swallowed, and then the connections break: it never arrives."""
    tap.cut(rng.choice(["client", "server", None]))
    await asyncio.sleep(rng.uniform(0, 0.1))
    tap.reset()
    tap.mend()


Fault = Callable[[Engine, Tap, random.Random], Awaitable[None]]
FAULTS: list[Fault] = [kill, stall, cut, reset, lose]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_nothing_accepted_is_lost(lasting: Engine, fault: Fault) -> None:
    """While records are published and heard, one kind of fault happens at three random moments."""
    rng = random.Random(fault.__name__)

    async def run() -> Story:
        with Tap(lasting.port) as tap:
            async with telling(broker(tap), broker(lasting)) as story:
                for _ in range(3):
                    await asyncio.sleep(rng.uniform(0, 0.1))
                    await fault(lasting, tap, rng)
                    await story.more(5)
        return story

    check_nothing_lost(asyncio.run(run()))


@pytest.mark.parametrize("seed", range(2))
def test_nothing_accepted_is_lost_in_any_mixture_of_faults(lasting: Engine, seed: int) -> None:
    """Six faults of any kind, one upon the other, at random moments."""
    rng = random.Random(seed)

    async def run() -> Story:
        with Tap(lasting.port) as tap:
            async with telling(broker(tap), broker(tap)) as story:
                for _ in range(6):
                    await rng.choice(FAULTS)(lasting, tap, rng)
                    await asyncio.sleep(rng.uniform(0, 0.1))
        return story

    check_nothing_lost(asyncio.run(run()))


@pytest.mark.parametrize("seed", range(2))
def test_restart_without_the_data_begins_a_new_epoch(forgetful: Engine, seed: int) -> None:
    """Listeners are told of the loss; everything accepted since is heard once, from offset 1 on."""
    rng = random.Random(seed)

    async def run() -> Story:
        with Tap(forgetful.port) as tap:
            async with telling(broker(tap), broker(forgetful)) as story:
                await kill(forgetful, tap, rng)
        return story

    story = asyncio.run(run())
    epoch = story.accepted["last"].epoch
    since = {payload: position for payload, position in story.accepted.items() if position.epoch == epoch}
    assert len({position.epoch for position in story.accepted.values()}) == 2
    for heard in story.heard:
        assert heard.resets == [Position(epoch, 0)]
        after = [record for record in heard.records if record.position.epoch == epoch]
        assert [record.position.offset for record in after] == list(range(1, len(after) + 1))
        assert {record.payload: record.position for record in after} == since


def test_old_positions_are_incomplete_after_a_loss(forgetful: Engine) -> None:
    """Who resumes with a position of before the loss is told that something is missing."""

    async def run() -> None:
        async with broker(forgetful) as one:
            old = await one.publish("t", "a")
            await asyncio.to_thread(forgetful.restart)
            new = await one.publish("t", "b")
            assert (new.offset, new.epoch == old.epoch) == (1, False)
            history = await one.history("t", old)
            assert ([record.payload for record in history.records], history.complete) == (["b"], False)

    asyncio.run(run())


def test_engine_that_is_away_is_said(forgetful: Engine) -> None:
    """Every call raises within its deadline, health says why, and both recover by themselves."""

    async def run() -> None:
        async with broker(forgetful) as one, one.subscribe("t", heard := Heard()), asyncio.timeout(20):
            await asyncio.to_thread(forgetful.kill)
            calls = (
                one.publish("t", "a", key="a"),
                one.history("t"),
                one.signal("t", "x"),
                one.drop("t"),
                one.subscribe("u", Heard()).__aenter__(),
            )
            errors = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(error) for error in errors] == [UnavailableError] * len(calls)
            assert "may or may not be stored: publish it again with the same key" in str(errors[0])
            await until(lambda: not one.health().ready)
            assert "127.0.0.1" in one.health().reason
            await asyncio.to_thread(forgetful.restart)
            await until(lambda: one.health().ready)
            await one.publish("t", "a", key="a")
            await heard.until(records=1, resets=1)

    asyncio.run(run())


def test_broker_ends_while_its_connections_break(forgetful: Engine) -> None:
    """Leaving the block at the very moment of a fault ends every task."""

    async def run() -> None:
        with Tap(forgetful.port) as tap:
            for number in range(20):
                async with broker(tap) as one, one.subscribe("t", Heard()):
                    publication = asyncio.create_task(one.publish("t", "a"))
                    for _ in range(number):
                        await asyncio.sleep(0)
                    tap.reset()
                    await asyncio.sleep(0.001 * (number % 3))
                publication.cancel()
                await asyncio.wait([publication])
                assert asyncio.all_tasks() == {asyncio.current_task()}

    async def limited() -> None:
        async with asyncio.timeout(20):
            await run()

    asyncio.run(limited())


def test_cancelled_opening_leaves_nothing(forgetful: Engine) -> None:
    """Whoever is cancelled while opening a broker has no task and no connection left, whenever that happens."""

    async def run() -> None:
        with redis.from_url(forgetful.url) as direct:
            for number in range(30):
                opening = asyncio.create_task(broker(forgetful).__aenter__())
                await asyncio.sleep(0.0005 * number)
                opening.cancel()
                await asyncio.wait([opening])
                if not opening.cancelled():
                    await opening.result().__aexit__()
                assert asyncio.all_tasks() == {asyncio.current_task()}
            await until(lambda: len(direct.client_list()) == 1)

    asyncio.run(run())


@pytest.mark.parametrize("silence", ["stalled engine", "cut cable"])
def test_silence_is_noticed(forgetful: Engine, silence: str) -> None:
    """A connection that stays open and says nothing counts as lost; what was published meanwhile is heard later."""

    async def run() -> None:
        with Tap(forgetful.port) as tap:
            async with broker(tap) as one, one.subscribe("t", heard := Heard()):
                await one.publish("t", "a")
                forgetful.stall() if silence == "stalled engine" else tap.cut()
                await until(lambda: "said nothing" in one.health().reason)
                if silence == "stalled engine":
                    forgetful.resume()
                else:
                    async with broker(forgetful) as other:
                        await other.publish("t", "b")
                    tap.mend()
                await until(lambda: one.health().ready)
                await one.publish("t", "c")
                await heard.until(records=3 if silence == "cut cable" else 2)
                assert heard.offsets == list(range(1, len(heard.records) + 1))
                assert heard.resets == []

    asyncio.run(run())


def test_connection_cut_in_the_middle_of_a_publish(forgetful: Engine) -> None:
    """The record is stored, its answer is lost with the connection: it is stored once, and its position returned."""

    async def run() -> None:
        with Tap(forgetful.port) as tap, redis.from_url(forgetful.url) as direct:
            async with broker(tap) as one:
                first = await one.publish("t", "a")
                tap.cut("server")
                publication = asyncio.create_task(one.publish("t", "b"))
                await until(lambda: direct.xlen("chat:{t}:log") == 2)
                tap.reset()
                tap.mend()
                assert await publication == Position(first.epoch, 2)
                assert direct.xlen("chat:{t}:log") == 2

    asyncio.run(run())


def test_signal_whose_answer_is_lost_is_not_repeated(forgetful: Engine) -> None:
    """A signal reaches its listeners at most once, also where nobody knows whether it did."""

    async def run() -> None:
        with Tap(forgetful.port) as tap:
            async with broker(forgetful) as other, other.subscribe("t", heard := Heard()), broker(tap) as one:
                await one.signal("t", "first")
                tap.cut("server")
                signal = asyncio.create_task(one.signal("t", "second"))
                await heard.until(signals=2)
                tap.reset()
                tap.mend()
                with pytest.raises(UnavailableError):
                    await signal
                await one.signal("t", "third")
                await heard.until(signals=3)
                assert heard.signals == ["first", "second", "third"]

    asyncio.run(run())


def test_record_that_the_channel_lost_is_found(forgetful: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that was stored and not told is heard after the next look at the positions, without another one."""

    async def run() -> None:
        async with broker(forgetful, check=0.1) as one, one.subscribe("t", heard := Heard()):
            async with broker(forgetful) as other:
                monkeypatch.setattr(other._streams, "channel", lambda topic: "elsewhere")
                await other.publish("t", "a")
            await heard.until(records=1)

    asyncio.run(run())


def test_gap_in_the_channel_is_filled_at_once(forgetful: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next record shows that others are missing: all are heard in order, also more than one page of them."""

    async def run() -> None:
        async with broker(forgetful) as one, one.subscribe("t", heard := Heard()), broker(forgetful) as other:
            await one.publish("t", "0")
            with monkeypatch.context() as patch:
                patch.setattr(other._streams, "channel", lambda topic: "elsewhere")
                for number in range(1, 500):
                    await other.publish("t", str(number))
            await asyncio.gather(*[other.publish("t", str(number)) for number in range(500, 600)])
            await heard.until(records=600)
            assert heard.payloads == [str(number) for number in range(600)]
            assert heard.resets == []

    asyncio.run(run())


def test_listener_that_missed_more_than_is_kept_is_told(forgetful: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the log no longer has what the channel lost, on_reset says so and what is kept follows."""

    async def run() -> None:
        few = ValkeyBroker(forgetful.url, limits=Limits(records=3))
        async with broker(forgetful) as one, one.subscribe("t", heard := Heard()), few as other:
            first = await one.publish("t", "0")
            await heard.until(records=1)
            with monkeypatch.context() as patch:
                patch.setattr(other._streams, "channel", lambda topic: "elsewhere")
                for number in range(1, 9):
                    await other.publish("t", str(number))
            await other.publish("t", "9")
            await heard.until(records=4, resets=1)
            assert heard.resets == [Position(first.epoch, 7)]
            assert heard.payloads == ["0", "7", "8", "9"]

    asyncio.run(run())


def test_engine_without_its_last_records_gets_a_new_epoch(forgetful: Engine) -> None:
    """An engine that comes back a little older reuses offsets that somebody has seen: never in the same epoch."""

    async def run() -> None:
        async with broker(forgetful, check=0.1) as one, one.subscribe("t", heard := Heard()):
            positions = [await one.publish("t", str(number)) for number in range(3)]
            with redis.from_url(forgetful.url) as direct:
                old = {key: direct.dump(key) for key in ("chat:{t}:meta", "chat:{t}:log")}
            positions += [await one.publish("t", str(number)) for number in range(3, 5)]
            await heard.until(records=5)
            with redis.from_url(forgetful.url) as direct, direct.pipeline() as together:
                for key, value in old.items():
                    together.restore(key, 0, value, replace=True)
                together.execute()
            await heard.until(resets=1)
            assert (await one.publish("t", "new")).offset == 4
            await heard.until(records=9)
            [begun] = heard.resets
            assert (begun.offset, begun.epoch == positions[0].epoch) == (0, False)
            assert heard.payloads == ["0", "1", "2", "3", "4", "0", "1", "2", "new"]
            assert list((await one.history("t")).records) == heard.records[5:]
            assert not (await one.history("t", positions[-1])).complete

    asyncio.run(run())


SCRIPT = """
import asyncio, sys
from itertools import count
from server.broker.valkey import ValkeyBroker
from server.broker import Limits

async def publish(broker, name):
    for number in count(1):
        position = await broker.publish("t", f"{name} {number}")
        print(position.offset, name, number, flush=True)

async def main():
    async with ValkeyBroker(sys.argv[1], limits=Limits(records=1_000_000)) as broker, asyncio.TaskGroup() as group:
        for name in range(3):
            group.create_task(publish(broker, name))

asyncio.run(main())
"""


def test_publishing_process_is_killed(forgetful: Engine) -> None:
    """What another process was told to be stored before its kill -9 is heard here, once and in order."""

    async def run() -> None:
        async with broker(forgetful) as one, one.subscribe("t", heard := Heard()):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", textwrap.dedent(SCRIPT), forgetful.url, stdout=asyncio.subprocess.PIPE
            )
            assert process.stdout is not None
            async with asyncio.timeout(15):
                lines = [await process.stdout.readline() for _ in range(300)]
                process.kill()
                lines += (await process.stdout.read()).splitlines()
                await process.wait()
            last = await one.publish("t", "last")
            await heard.until(records=last.offset)
            assert heard.offsets == list(range(1, last.offset + 1))
            assert len(set(heard.payloads)) == len(heard.payloads)
            for line in lines:
                offset, name, number = line.split()
                assert heard.payloads[int(offset) - 1] == f"{name.decode()} {number.decode()}"

    asyncio.run(run())
