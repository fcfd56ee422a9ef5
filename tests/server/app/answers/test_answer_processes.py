"""An answer that is made in one process and read in another, and what is left when a process is killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
from lab.servers.valkey import Engine

from server import ServerProcess, serve_process
from server.app.answers.model import FakeModel, Piece
from server.settings import Settings
from tests.server.app.answers.asking import KEY, Reader, StepModel, answering, text_of

APP = "tests.server.child:app"
PROMPT = "hello"


def whole(prompt: str) -> str:
    """What the fake model says to a prompt."""

    async def collect(pieces: AsyncGenerator[Piece, None]) -> str:
        return "".join([piece async for piece in pieces if isinstance(piece, str)])

    return asyncio.run(collect(FakeModel(seconds=0)(prompt)))


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ServerProcess]:
    """Start a server process over a log."""

    def start(broker: str) -> ServerProcess:
        settings = {"KEY": KEY, "BOT": "true", "BROKER": broker, "ANSWER_SILENCE_SECONDS": "1", "METRICS": "false"}
        for name, value in settings.items():
            monkeypatch.setenv(f"CHAT_{name}", value)
        return serve_process(APP, **Settings().uvicorn_options)

    return start


@pytest.fixture
def shared(shared_engine: Engine, tmp_path: Path) -> dict[str, Any]:
    """The settings of servers that share a log."""
    return {"broker": f"{shared_engine.url}?prefix={shared_engine.prefix}-{tmp_path.name}"}


def test_a_reader_resumes_at_another_server(shared: dict[str, Any]) -> None:
    """The second server reads the same log; the model, at the first, goes on for it."""
    ten = tuple(f"{number} " for number in range(10))
    model, unused = StepModel(*ten, allowed=4), StepModel()
    with answering(model, **shared, answer_grace_seconds=30) as one, answering(unused, **shared) as other:
        ana = Reader(one.server)
        ana.ask()
        before = ana.take(4)
        ana.lose()
        model.allow(6)
        with Reader(other.server) as again:
            again.resume(after=before[-1]["position"])
            rest = again.rest()
        assert text_of(before) + text_of(rest) == "".join(ten)
        assert (rest[-1]["reason"], unused.prompts) == ("complete", [])


@pytest.mark.parametrize("last_word", ["stop", "leave"])
def test_a_reader_stops_a_model_at_another_server(shared: dict[str, Any], last_word: str) -> None:
    """By saying so, or by leaving when nobody else reads."""
    model = StepModel(allowed=3)
    with answering(model, **shared, answer_grace_seconds=30) as one, answering(StepModel(), **shared) as other:
        ana = Reader(one.server)
        ana.ask()
        ana.take(3)
        ben = Reader(other.server)
        ben.ask()
        ben.take(3)
        ana.socket.close()
        if last_word == "stop":
            ben.send("stop", "a")
            assert ben.rest()[-1]["reason"] == "stopped"
        ben.socket.close()
        one.until_ended("stopped" if last_word == "stop" else "left")
        assert model.made == 3


def test_a_server_that_is_killed_loses_no_token(start: Callable[[str], ServerProcess], tmp_path: Path) -> None:
    """What was stored is delivered once, and the answer ends with an error instead of a stream that hangs."""
    with start(f"sqlite:{tmp_path / 'log.sqlite'}") as server:
        ana = Reader(server)
        ana.ask(prompt=PROMPT)
        before = ana.take(5)
        server.kill()
        assert ana.end()[0] == 1006
        server.restart()
        with Reader(server) as again, Reader(server) as tab:
            again.resume(after=before[-1]["position"])
            tab.resume()
            rest, all_of_it = again.rest(), tab.rest()
    assert text_of(before) + text_of(rest) == text_of(all_of_it)
    assert whole(PROMPT).startswith(text_of(all_of_it))
    assert rest[-1]["reason"] == all_of_it[-1]["reason"] == "interrupted"


def test_readers_elsewhere_learn_that_the_model_is_gone(
    start: Callable[[str], ServerProcess], shared: dict[str, Any]
) -> None:
    """They have every token that was stored, and the error, without doing anything."""
    with start(shared["broker"]) as one, answering(StepModel(), **shared, answer_silence_seconds=1) as other:
        ana = Reader(one)
        ana.ask(prompt=PROMPT)
        with Reader(other.server) as ben:
            ben.resume()
            pieces = ben.take(5)
            one.kill()
            pieces += ben.rest()
    assert whole(PROMPT).startswith(text_of(pieces))
    assert pieces[-1]["reason"] == "interrupted"
    assert ana.end()[0] == 1006


def test_an_engine_that_is_killed_costs_no_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The model isn't asked while its words can't be stored; then the answer goes on."""
    monkeypatch.delenv("VALKEY_URL", raising=False)
    if (reason := Engine.missing()) is not None:
        pytest.skip(reason)
    ten = tuple(f"{number} " for number in range(10))
    model = StepModel(*ten, allowed=4)
    with Engine(data=tmp_path) as engine, answering(model, broker=engine.url) as stage, Reader(stage.server) as ana:
        ana.ask()
        pieces = ana.take(4)
        engine.kill()
        model.allow(6)
        engine.restart()
        pieces += ana.rest()
    assert text_of(pieces) == "".join(ten)
    assert pieces[-1]["reason"] == "complete"
