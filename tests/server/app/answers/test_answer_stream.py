"""The same answer as server-sent events: asked with PUT, streamed with GET, stopped with DELETE."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.server.app.answers.asking import DEADLINE, Reader, Stage, StepModel, answering, bearer, text_of

TEN = tuple(f"{number} " for number in range(10))


@contextmanager
def client(stage: Stage, user: str = "ana") -> Iterator[httpx.Client]:
    """An HTTP client under a name."""
    options: dict[str, Any] = {"headers": bearer(user), "trust_env": False, "timeout": DEADLINE}
    with httpx.Client(base_url=stage.server.http(), **options) as http:
        yield http


@contextmanager
def stream(http: httpx.Client, answer: str = "a", **options: Any) -> Iterator[Iterator[dict[str, Any]]]:
    """The events of an answer: their data, and the `id` of each."""
    with http.stream("GET", f"/answers/{answer}", **options) as response:
        assert response.status_code == 200, response.read()
        yield events(response.iter_lines())


def events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """Parse server-sent events."""
    event: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if line:
            event[name] = value
        elif "data" in event:
            data = json.loads(event["data"])
            assert data["type"] == event["event"]
            yield data | {"event_id": event.get("id")}
            event = {}


def test_a_stream_has_the_pieces_of_the_websocket(log_url: str) -> None:
    """Typed, each with its position as the event's id; it ends with the answer."""
    model = StepModel(*TEN, allowed=10)
    with answering(model, broker=log_url) as stage, client(stage) as http, Reader(stage.server) as ana:
        assert http.put("/answers/a", json={"prompt": "hello"}).status_code == 202
        with stream(http) as pieces:
            found = list(pieces)
        assert (text_of(found), found[-1]["reason"]) == ("".join(TEN), "complete")
        for piece in found:
            assert piece["event_id"] == f"{piece['position']['epoch']}:{piece['position']['offset']}"
        ana.resume()
        assert text_of(ana.rest()) == "".join(TEN)
        assert model.prompts == ["hello"]


def test_a_browser_resumes_by_last_event_id() -> None:
    """The model waits meanwhile, and isn't asked again."""
    model = StepModel(*TEN, allowed=4)
    with answering(model, answer_grace_seconds=30) as stage, client(stage) as http:
        http.put("/answers/a", json={"prompt": "hello"})
        before: list[dict[str, Any]] = []
        with stream(http) as pieces:
            while len(text_of(before).split()) < 4:
                before.append(next(pieces))
        model.allow(6)
        with stream(http, headers={"Last-Event-ID": before[-1]["event_id"]}) as pieces:
            rest = list(pieces)
        assert text_of(before) + text_of(rest) == "".join(TEN)
        assert model.prompts == ["hello"]
        assert stage.numbers.unread <= 1


def test_a_stream_that_is_left_ends_the_answer_after_the_grace_time() -> None:
    """HTTP doesn't tell whether a client has left or was cut off."""
    model = StepModel(allowed=2)
    with answering(model, answer_grace_seconds=0.1) as stage, client(stage) as http:
        http.put("/answers/a", json={"prompt": "hello"})
        with stream(http) as pieces:
            next(pieces)
        model.allow(1)  # the token that it was about to make
        stage.until_ended("left")
        assert model.made <= 3


def test_delete_stops_it() -> None:
    """The stream gets an `end`."""
    model = StepModel(allowed=2)
    with answering(model) as stage, client(stage) as http, client(stage) as other:
        http.put("/answers/a", json={"prompt": "hello"})
        with stream(http) as pieces:
            next(pieces)
            assert other.delete("/answers/a").status_code == 204
            assert list(pieces)[-1]["reason"] == "stopped"


def test_what_cannot_be_had_is_refused_before_the_stream() -> None:
    """With a status, and a reason that names what is wrong."""
    with answering(StepModel(), answers_per_user=1) as stage, client(stage) as http:
        assert http.get("/answers/never").status_code == 404
        assert http.put("/answers/a", json={"prompt": "hello"}).status_code == 202
        assert http.put("/answers/a", json={"prompt": "again"}).status_code == 202
        assert http.put("/answers/b", json={"prompt": "hello"}).status_code == 429
        assert http.put("/answers/c", json={"prompt": ""}).status_code == 422
        assert http.put("/answers/no%20spaces", json={"prompt": "x"}).status_code == 422
        assert http.get("/answers/a", params={"after": "x:7"}).status_code == 422
        assert httpx.get(stage.server.http("/answers/a"), trust_env=False).status_code == 401
        foreign = {"Origin": "http://evil.example"}
        for method in ("PUT", "DELETE", "GET"):
            assert http.request(method, "/answers/a", headers=foreign).status_code in (403, 422)


@pytest.mark.parametrize("kind", ["stream", "websocket"])
def test_a_server_that_stops_interrupts_its_answers(kind: str) -> None:
    """It doesn't wait for the model, and no reader hangs."""
    model = StepModel(allowed=1)
    ended = threading.Event()
    with answering(model) as stage, client(stage) as http:
        http.put("/answers/a", json={"prompt": "hello"})
        if kind == "stream":
            with stream(http) as pieces:
                next(pieces)
                stage.server.stop()
                list(pieces)
        else:
            ana = Reader(stage.server)
            ana.resume()
            ana.take(1)
            stage.server.stop()
            assert ana.end()[0] == 1012
        ended.set()
    assert model.closed.is_set()
    assert stage.numbers.ended["interrupted"] == 1
