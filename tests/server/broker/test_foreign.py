"""What another program writes into a log, or publishes on its channel, hides none of our records."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
import redis
from lab.servers.valkey import Engine

from server.broker.sqlite.broker import LocalBroker
from server.broker.valkey.broker import ValkeyBroker
from tests.server.broker.recorder import Recorder

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_failed")]
BROKEN = b"caf\xe9"  # Latin-1


def publish_broken(engine: Engine, prefix: str) -> None:
    """Store `BROKEN` as the next record and publish it, as another program could."""
    base, now = f"{prefix}:{{t}}", int(time.time() * 1_000_000)
    with redis.from_url(engine.url) as direct:
        epoch, previous = direct.hmget(f"{base}:meta", "epoch", "time")
        offset = direct.hincrby(f"{base}:meta", "offset")
        direct.hset(f"{base}:meta", "time", now)
        direct.xadd(f"{base}:log", {"payload": BROKEN, "previous": previous}, id=f"{offset}-{now}")
        direct.publish(f"{base}:news", b"entry %s %d %d %s %s" % (epoch, offset, now, previous, BROKEN))


async def test_text_in_a_file_that_is_not_utf8_is_read(tmp_path: Path) -> None:
    """Each bad byte becomes a replacement character; the records around it are unchanged."""
    path = tmp_path / "log.sqlite"
    async with LocalBroker(path) as broker:
        for payload in ("one", "two", "three"):
            await broker.publish("t", payload)
    with closing(sqlite3.connect(path)) as file, file:
        file.execute('UPDATE record SET payload = CAST(? AS TEXT) WHERE "offset" = 2', (BROKEN,))
    async with LocalBroker(path) as broker:
        await broker.publish("t", "four")
        assert [record.payload for record in (await broker.history("t")).records] == [
            "one",
            "caf\ufffd",
            "three",
            "four",
        ]


async def test_text_in_the_engine_that_is_not_utf8_is_read(shared_engine: Engine) -> None:
    """The same for a stream, and for its listeners."""
    prefix = f"{shared_engine.prefix}-{secrets.token_hex(4)}"
    async with ValkeyBroker(shared_engine.url, prefix=prefix) as broker, broker.subscribe("t", received := Recorder()):
        await broker.publish("t", "one")
        await asyncio.to_thread(publish_broken, shared_engine, prefix)
        await broker.publish("t", "three")
        await received.until(records=3)
        assert received.payloads == ["one", "caf\ufffd", "three"]
        assert [record.payload for record in (await broker.history("t")).records] == received.payloads


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"junk",
        b"record",
        b"record e 1",
        b"record e x y z",
        b"record \xff 1 1 p",
        b"entry",
        b"entry e x y z p",
        b"signal",
    ],
    ids=ascii,
)
async def test_foreign_messages_on_the_channel_are_ignored(
    shared_engine: Engine, said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """The connection stays, and the records that follow are delivered, each once."""
    prefix = f"{shared_engine.prefix}-{secrets.token_hex(4)}"
    async with (
        ValkeyBroker(shared_engine.url, prefix=prefix) as broker,
        broker.subscribe("t", received := Recorder()),
    ):
        await broker.publish("t", "one")
        with redis.from_url(shared_engine.url) as engine:
            engine.publish(f"{prefix}:{{t}}:news", said)
        await broker.publish("t", "two")
        await received.until(records=2)
        assert [record.payload for record in received.records] == ["one", "two"]
    assert "the engine is away" not in caplog.text
