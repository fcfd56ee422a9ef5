"""The chat on a real engine that is killed, stalled and started again, and on two servers at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import pytest
from lab.servers.valkey import Engine

from server import BackgroundServer
from tests.server.people import DEADLINE, Chat, Person, chat

pytestmark = pytest.mark.skipif(Engine.missing() is not None, reason=str(Engine.missing()))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An engine that keeps its data."""
    with Engine(data=tmp_path) as engine:
        yield engine


@pytest.fixture
def room(engine: Engine) -> Iterator[Chat]:
    """The chat over that engine."""
    with chat(broker=engine.url) as room:
        yield room


def health(server: BackgroundServer, path: str = "") -> httpx.Response:
    """What the server says of itself."""
    return httpx.get(server.http(f"/healthz{path}"), trust_env=False, timeout=DEADLINE)


def until(condition: Callable[[], Any]) -> None:
    """Repeat the request until the condition holds."""
    deadline = monotonic() + DEADLINE
    while not condition():
        assert monotonic() < deadline, "it did not become so in time"
        sleep(0.02)


def test_two_servers_share_their_rooms(engine: Engine) -> None:
    """What is said and typed at one is heard at the other, in the same order with the same positions."""
    with (
        chat(broker=engine.url) as first,
        chat(broker=engine.url) as second,
        Person(first.server, "ana") as ana,
        Person(second.server, "ben") as ben,
    ):
        assert ana.receive("presence")["joined"] == ["ben"]
        assert ben.receive("presence")["joined"] == ["ana"]
        ana.send(type="typing", room="lobby")
        assert ben.receive("typing")["user"] == "ana"
        for number in range(10):
            (ana, ben)[number % 2].say(str(number))
            assert ana.receive("message") == ben.receive("message")


def test_a_client_finds_at_another_server_what_it_missed_at_the_first(engine: Engine) -> None:
    """A position is good at every server of the engine."""
    with chat(broker=engine.url) as first, chat(broker=engine.url) as second, Person(first.server, "ana") as ana:
        with Person(first.server, "ben") as ben:
            ana.say("one")
            seen = ben.receive("message")["position"]
        ana.say("two")
        ana.receive("message")
        with Person(second.server, "ben", room=None) as ben:
            ben.send(type="join", room="lobby", after=seen)
            assert ben.receive("message")["text"] == "two"


def test_clients_stay_connected_when_the_engine_is_killed(engine: Engine, room: Chat) -> None:
    """They stay connected, get errors while it is down, and continue where they were when it is back."""
    with Person(room.server, "ana") as ana, Person(room.server, "ben") as ben:
        ana.say("before")
        assert ben.receive("message")["position"]["offset"] == 1
        engine.kill()
        ana.send(type="say", room="lobby", text="while it was away", key="k", id=1)
        assert "try again" in ana.receive("error")["expected"]
        until(lambda: health(room.server).json()["status"] == "degraded")
        assert health(room.server).status_code == 200
        assert health(room.server, "/ready").status_code == 503
        engine.restart()
        until(lambda: health(room.server, "/ready").status_code == 200)
        ana.send(type="say", room="lobby", text="while it was away", key="k")
        heard = ben.receive("message")
        assert (heard["text"], heard["position"]["offset"]) == ("while it was away", 2)


def test_a_join_while_the_engine_is_down_gets_an_error_and_can_be_repeated(engine: Engine, room: Chat) -> None:
    """The failed joining leaves nothing behind."""
    with Person(room.server, "ana", room=None) as ana:
        engine.stall()
        ana.send(type="join", room="lobby", id=1)
        refusal = ana.receive("error")
        assert refusal["id"] == 1
        assert "field" not in refusal
        engine.resume()
        until(lambda: health(room.server, "/ready").status_code == 200)
        ana.send(type="join", room="lobby", id=2)
        assert ana.receive("joined")["id"] == 2


def test_clients_get_a_reset_when_the_engine_has_lost_its_data(engine: Engine, tmp_path: Path) -> None:
    """Every member gets a reset, and later messages arrive."""
    with Engine() as forgetful, chat(broker=forgetful.url) as room, Person(room.server, "ana") as ana:
        ana.say("before")
        epoch = ana.receive("message")["position"]["epoch"]
        forgetful.kill()
        forgetful.restart()
        until(lambda: health(room.server, "/ready").status_code == 200)
        ana.say("after")
        assert ana.receive("reset")["position"]["epoch"] != epoch
        assert ana.receive("message")["text"] == "after"
