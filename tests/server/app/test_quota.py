"""How much a user may have stored, and what happens when there is no room for it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import redis
from lab.servers.valkey import Engine

from server.client import RefusedError
from tests.server.app.test_routes import poll, reader
from tests.server.client.scripted import NO_LIMITS, client
from tests.server.people import Person, chat
from tests.server.recipients import Device, bearer, push, pusher

pytestmark = pytest.mark.anyio

SAID = len('{"type":"message","room":"lobby","user":"ana","text":""}')  # bytes of what is stored around a text


def test_a_user_over_the_daily_limit_gets_an_error() -> None:
    """On all connections together; all of them live on and hear what the others say, who are not touched."""
    with (
        chat(message_bytes_per_day=3 * (SAID + 500), **NO_LIMITS) as room,
        Person(room.server, "ana") as ana,
        Person(room.server, "ana", device="phone") as phone,
        Person(room.server, "ben") as ben,
    ):
        for person in (ana, phone, ana):
            person.say("é" * 250)
            assert person.receive("message")["text"] == "é" * 250
        phone.say("é" * 250, id=7)
        error = phone.receive("error")
        assert (error["field"], error["id"]) == ("text", 7)
        assert error["expected"].startswith(f"at most {3 * (SAID + 500)} bytes of messages a day; try again in ")
        ben.say("hello")
        assert [person.receive("message")["text"] for person in (ana, phone)][-1]
        while ana.receive("message")["text"] != "hello":
            pass
        assert ben.answers()


async def test_the_python_client_raises_over_the_daily_limit() -> None:
    """At once, in the server's words, instead of trying until its timeout."""
    with chat(message_bytes_per_day=100) as room:
        async with client(room.server, "ana") as ana:
            with pytest.raises(RefusedError, match="at most 100 bytes of messages a day; try again in"):
                await ana.say("lobby", "x" * 100)
            assert ana.error is None


def test_a_program_over_the_daily_limit_gets_429() -> None:
    """With HTTP 429 and the seconds to wait; its inboxes can be read, and another program is not touched."""
    with chat(pushed_bytes_per_day=2_000) as room, pusher(room.server) as shop, reader(room, "ana") as ana:
        big = {"kind": "k", "text": "t", "data": "x" * 1_500}
        assert shop.post("/users/ana/notifications", json=big).status_code == 202
        answer = shop.post("/users/ben/notifications", json=big)
        assert (answer.status_code, answer.json()["detail"]) == (429, "more than 2000 bytes of notifications a day")
        assert 60_000 < int(answer.headers["Retry-After"]) < 80_000  # 1,500 bytes at 2,000 a day
        assert len(poll(ana, last=5)["notifications"]) == 1
        with pusher(room.server) as bank:
            bank.headers.update(bearer("bank", scope="push"))
            push(bank, "ana")


@pytest.fixture
def own_engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """An engine that may be harmed, also where VALKEY_URL is set."""
    monkeypatch.delenv("VALKEY_URL", raising=False)
    if (reason := Engine.missing()) is not None:
        pytest.skip(reason)
    with Engine() as engine:
        yield engine


def test_a_full_engine_is_reported_and_can_still_be_read(own_engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    """Valkey at its `maxmemory` under `noeviction`: 507 and an error, no crash; it goes on when there is room."""
    with (
        chat(broker=own_engine.url, **NO_LIMITS) as room,
        redis.from_url(own_engine.url) as engine,
        pusher(room.server) as shop,
        reader(room, "ana") as http,
        Device(room.server, "ana") as device,
        Person(room.server, "ben") as ben,
    ):
        engine.config_set("maxmemory-policy", "noeviction")
        device.watch()
        read = push(shop, "ana", text="before")
        ben.say("before")
        ben.receive("message")
        engine.config_set("maxmemory", engine.info("memory")["used_memory"] + 300_000)
        for _ in range(100):  # until it is full
            content = {"kind": "k", "text": "more", "data": "x" * 15_000}
            if (answer := shop.post("/users/cleo/notifications", json=content)).status_code != 202:
                break
        assert (answer.status_code, answer.headers["Retry-After"]) == (507, "60")
        assert answer.json()["detail"] == "the log is full, nothing was stored; try again later"
        engine.config_set("maxmemory", 1)  # there is no room for anything, however small
        ben.say("lost", id=1)
        error = ben.receive("error")
        assert (error["id"], error["expected"]) == (
            1,
            "the server to have room in its log, which is full; try again later",
        )
        device.receive("notification")
        device.ack(read)
        assert "which is full" in device.receive("error")["expected"]
        assert [one["text"] for one in poll(http, last=5)["notifications"]] == ["before"]
        with Person(room.server, "dora", room=None) as dora:
            dora.send(type="join", room="lobby", last=5)
            assert dora.receive("message")["text"] == "before"
        engine.config_set("maxmemory", 0)
        push(shop, "ana", text="after")
        assert device.receive("notification")["text"] == "after"
        ben.say("after")
        assert ben.receive("message")["text"] == "after"
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert {line.partition(" is full and stores nothing")[1] for line in lines} == {" is full and stores nothing"}
    assert len(lines) <= 4  # once a minute for each connection to the engine, of two brokers
