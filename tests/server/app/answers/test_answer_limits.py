"""The limits of the answers: each is a setting, and what goes over it gets a typed reply."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from server import BackgroundServer
from server.access.tokens import issue_session
from server.run.process import ServerProcess
from tests.server.app.answers.asking import KEY, Reader, StepModel, answering, text_of
from tests.server.people import Person, chat


def test_the_longest_answer() -> None:
    """``answer_tokens``: the end says that there could have been more."""
    model = StepModel(allowed=10)
    with answering(model, answer_tokens=3) as stage, Reader(stage.server) as ana:
        ana.ask()
        pieces = ana.rest()
        assert (text_of(pieces), pieces[-1]["reason"]) == ("0 1 2 ", "length")
        assert model.closed.wait(15)
        assert model.made == 3


def test_answers_at_once() -> None:
    """``answers_per_user``: one more gets an error, and when one has ended there is a place again."""
    model = StepModel()
    with answering(model, answers_per_user=2) as stage, Reader(stage.server) as ana, Reader(stage.server, "ben") as ben:
        assert [ana.ask("a")["type"], ana.ask("b")["type"]] == ["answer", "answer"]
        assert ana.ask("c")["expected"] == "at most 2 answers at once; stop one, or wait"
        assert ben.ask("c")["type"] == "answer"
        ana.send("stop", "a")
        assert ana.rest()[-1]["reason"] == "stopped"
        stage.until_ended("stopped")
        assert ana.ask("c")["type"] == "answer"


def test_the_budget_of_a_user() -> None:
    """``answer_tokens_per_day``: over all answers; another user has another."""
    model = StepModel(allowed=100)
    limits: dict[str, Any] = {"answer_tokens": 4, "answer_tokens_per_day": 6}
    with answering(model, **limits) as stage, Reader(stage.server) as ana, Reader(stage.server, "ben") as ben:
        for reader, name, reason in (
            (ana, "a", "length"),
            (ana, "b", "budget"),
            (ana, "c", "budget"),
            (ben, "d", "length"),
        ):
            reader.ask(name)
            assert reader.rest()[-1]["reason"] == reason
        assert model.made == 4 + 2 + 4


def test_an_answer_is_stored_for_a_while() -> None:
    """``answer_seconds``: it can be read again until then, and is refused like one that nobody asked for after it."""
    limits: dict[str, Any] = {"answer_tokens": 3, "answer_seconds": 0.5}
    with answering(StepModel(allowed=10), **limits) as stage, Reader(stage.server) as ana:
        ana.ask()
        assert ana.rest()[-1]["type"] == "end"
        deadline = time.monotonic() + 15
        while (reply := resumed(stage.server))["type"] != "error":
            assert time.monotonic() < deadline, "it is still stored"
        assert reply["expected"] == "an answer of yours that is still stored"


def resumed(server: BackgroundServer | ServerProcess) -> dict[str, Any]:
    """What a new tab gets when it resumes the answer."""
    with Reader(server) as tab:
        return tab.resume()


def test_a_flood_of_messages_is_closed() -> None:
    """``messages_per_second``: as at the chat."""
    with answering(StepModel(), messages_per_second=1, message_burst=5) as stage, Reader(stage.server) as ana:
        for _ in range(6):
            ana.socket.send('{"type":"ping"}')
        assert ana.end() == (4002, "more than 1 messages per second")


def test_a_message_that_is_too_big_is_closed() -> None:
    """``message_bytes``: before it is parsed."""
    with answering(StepModel(), message_bytes=1_000) as stage, Reader(stage.server) as ana:
        ana.send("ask", "a", prompt="x" * 1_000)
        assert ana.end()[0] == 1009


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"type": "ask", "answer": "a"}, "prompt"),
        ({"type": "ask", "answer": "no spaces", "prompt": "hello"}, "answer"),
        ({"type": "ask", "answer": "a", "prompt": ""}, "prompt"),
        ({"type": "ask", "answer": "a", "prompt": "x" * 2_001}, "prompt"),
        ({"type": "resume", "answer": "a", "after": 7}, "after"),
        ({"type": "say", "room": "lobby", "text": "hello"}, "type"),
    ],
)
def test_a_bad_message_gets_an_error_that_names_the_field(message: dict[str, object], field: str) -> None:
    """And the connection stays open."""
    with answering(StepModel()) as stage, Reader(stage.server) as ana:
        ana.socket.send(json.dumps(message))
        error = ana.next()
        assert (error["type"], error["field"]) == ("error", field)
        ana.socket.send('{"type":"ping","id":7}')
        assert ana.next() == {"type": "pong", "id": 7}


@pytest.mark.usefixtures("short_sessions")
def test_a_session_that_expires_is_closed() -> None:
    """With 4001, as at the chat; and nobody gets in without one."""
    with answering(StepModel()) as stage:
        with pytest.raises(InvalidStatus, match="401"), connect(stage.server.url("/answers"), proxy=None):
            pass
        headers = {"Authorization": f"Bearer {issue_session('ana', key=KEY, seconds=60)}"}
        with connect(stage.server.url("/answers"), additional_headers=headers, proxy=None) as websocket:
            websocket.recv(timeout=15)
            reader = object.__new__(Reader)
            reader.socket = websocket
            assert reader.end()[0] == 4001


def test_its_connections_count_as_the_chats() -> None:
    """``connections_per_user``: one more closes the oldest."""
    with (
        answering(StepModel(), connections_per_user=1) as stage,
        Reader(stage.server) as first,
        Reader(stage.server),
    ):
        assert first.end()[0] == 4004


def test_metrics_count_what_it_costs() -> None:
    """Tokens, those that nobody read, answers that run, and how they have ended."""
    model = StepModel(allowed=3)
    with answering(model, answer_tokens=3) as stage, Reader(stage.server) as ana:
        ana.ask("a")
        ana.rest()
        ana.ask("b")
        stage.until_ended("length")
        text = httpx.get(stage.server.http("/metrics"), trust_env=False).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    values = {sample.name + "".join(sample.labels.values()): sample.value for sample in samples}
    assert values["chat_answer_tokens_total"] == 3
    assert values["chat_answer_tokens_unread_total"] == 0
    assert values["chat_answers_running"] == 1
    assert values["chat_answers_totallength"] == 1


def test_without_a_bot_there_are_no_answers() -> None:
    """It is off by default: a fake model must not answer the users of a real server."""
    with chat() as room, Person(room.server, "ana"):
        assert httpx.put(room.server.http("/answers/a"), json={"prompt": "x"}, trust_env=False).status_code in (
            404,
            405,
        )
        with pytest.raises(InvalidStatus), connect(room.server.url("/answers"), proxy=None):
            pass
