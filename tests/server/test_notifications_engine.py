"""Notifications when the engine goes away, and when several processes share one: nothing accepted is lost."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from lab.servers.valkey import Engine

from server import serve_process
from tests.server.app.test_routes import poll, reader, stream
from tests.server.people import DEADLINE, KEY, chat
from tests.server.recipients import Device, bearer, push, pusher

reason = Engine.missing()
pytestmark = pytest.mark.skipif(reason is not None, reason=str(reason))
APP = "tests.server.child:app"
CONTENT = {"kind": "order", "text": "shipped"}


@pytest.fixture
def mortal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An engine that may be killed, and comes back with what it had said yes to."""
    monkeypatch.delenv("VALKEY_URL", raising=False)
    with Engine(data=tmp_path) as engine:
        yield engine


def until_back(shop: httpx.Client) -> dict[str, Any]:
    """Push with one key until it is accepted, as a program does; the position."""
    end = time.monotonic() + 2 * DEADLINE
    while (answer := shop.post("/users/ana/notifications", json=CONTENT | {"key": "k"})).status_code != 202:
        assert answer.status_code == 503
        assert time.monotonic() < end
        time.sleep(0.05)
    position: dict[str, Any] = answer.json()["position"]
    return position


def test_while_the_engine_is_away_nothing_is_accepted_and_nobody_is_lost(mortal: Engine) -> None:
    """503 and when to come back for a push, an error for a watch, silence for who watches; then it goes on."""
    with (
        chat(broker=mortal.url) as room,
        pusher(room.server) as shop,
        reader(room, "ana") as program,
        Device(room.server, "ana", device="phone") as phone,
        Device(room.server, "ana", device="laptop") as laptop,
        stream(program) as events,
    ):
        phone.watch()
        events.message("inbox")
        position = push(shop, "ana", text="before")
        assert phone.texts(1) == [events.message("notification")["text"]] == ["before"]
        mortal.kill()
        address = room.server.http("/notifications")
        with ThreadPoolExecutor() as pool:  # each of them takes as long as the engine is waited for
            answers = [
                pool.submit(shop.post, "/users/ana/notifications", json=CONTENT),
                pool.submit(program.get, "/notifications"),
                pool.submit(httpx.post, f"{address}/read", headers=bearer("ana"), json={"position": position}),
            ]
            for wish in ({"type": "watch"}, {"type": "ack", "position": position}):
                laptop.send(**wish, id="w")
                error = laptop.next()
                assert (error["type"], error["id"]) == ("error", "w")
                assert "away" in error["expected"]
            for answer in answers:
                assert (answer.result().status_code, answer.result().headers["retry-after"]) == (503, "1")
        mortal.restart()
        again = until_back(shop)
        assert again == position | {"offset": 2}
        assert phone.texts(1) == [events.message("notification")["text"]] == ["shipped"]
        assert laptop.watch()["unread"] == 2


def test_a_stream_that_opens_while_the_engine_is_away_goes_on_when_it_is_back(mortal: Engine) -> None:
    """A browser gives up for good on a status other than 200, so it is made to wait instead."""
    with chat(broker=mortal.url) as room, pusher(room.server) as shop, reader(room, "ana") as ana:
        before = poll(ana)["position"]
        mortal.kill()
        with stream(ana, **{"Last-Event-ID": f"{before['epoch']}:0"}) as events:
            mortal.restart()
            until_back(shop)
            assert events.message("inbox")["position"] == before
            assert events.message("notification")["position"]["offset"] == 1


def test_two_processes_share_the_inboxes(shared_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is pushed through one is heard by the devices of the other; so is what was read."""
    prefix = f"{shared_engine.prefix}-two"
    settings = {"KEY": KEY, "BROKER": f"{shared_engine.url}?prefix={prefix}", "GRACE_SECONDS": "0"}
    for name, value in settings.items():
        monkeypatch.setenv(f"CHAT_{name}", value)
    with (
        serve_process(APP) as one,
        serve_process(APP) as two,
        pusher(one) as shop,
        Device(one, "ana", device="phone") as phone,
        Device(two, "ana", device="laptop") as laptop,
    ):
        phone.watch()
        seen = laptop.watch()["position"]
        for number in range(20):
            push(shop, "ana", text=str(number))
        expected = [str(number) for number in range(20)]
        assert phone.texts(20) == laptop.texts(20) == expected
        laptop.ack(seen | {"offset": 15})
        for device in (phone, laptop):
            read = device.next()
            assert (read["type"], read["position"]["offset"], read["unread"]) == ("read", 15, 5)
        one.kill()
        with Device(two, "ana", device="phone") as again:
            assert again.watch(after=seen)["unread"] == 5
            assert again.texts(20) == expected


def test_what_was_accepted_before_a_kill_is_there_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file keeps each notification whose 202 was seen, and a device that resumes gets each once."""
    for name, value in {"KEY": KEY, "BROKER": f"sqlite:{tmp_path / 'log.sqlite'}", "GRACE_SECONDS": "0"}.items():
        monkeypatch.setenv(f"CHAT_{name}", value)
    with serve_process(APP) as server:
        heard: list[str] = []
        with Device(server, "ana") as ana:
            seen = ana.watch()["position"]
        for number in range(2):
            with pusher(server) as shop, Device(server, "ana") as ana:
                assert ana.watch(after=seen)["complete"]
                heard += ana.texts(2 if number else 0)
                for text in ("a", "b", "c", "d"):
                    last = push(shop, "ana", text=f"{number}{text}")
                heard += ana.texts(2)
                seen = last | {"offset": last["offset"] - 2}
                server.kill()
            server.restart()
    assert heard == ["0a", "0b", "0c", "0d", "1a", "1b"]
