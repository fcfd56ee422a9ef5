"""A streamed answer over every broker: whole for everyone who reads it, and made for nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from server.app.answers.model import ToolCall
from server.broadcasting import statistics
from tests.server.app.answers.asking import DEADLINE, Reader, StepModel, answering, text_of

TEN = tuple(f"{number} " for number in range(10))
WHOLE = "".join(TEN)


def test_the_pieces_come_in_order_and_typed(log_url: str) -> None:
    """Text, a call of a tool, the end; each with the next position."""
    call = ToolCall("count_words", {"text": "hello"})
    with answering(StepModel("one ", call, "two", allowed=3), broker=log_url) as stage, Reader(stage.server) as ana:
        answer = ana.ask(prompt="hello")
        assert (answer["type"], answer["prompt"]) == ("answer", "hello")
        pieces = ana.rest()
        assert [piece["type"] for piece in pieces] == ["text", "tool_call", "text", "end"]
        assert pieces[1]["arguments"] == {"text": "hello"}
        assert pieces[-1]["reason"] == "complete"
        assert [piece["position"]["offset"] for piece in pieces] == [2, 3, 4, 5]


def test_stop_ends_it_within_a_token(log_url: str) -> None:
    """The model is closed where it waits, and everyone who reads is told."""
    model = StepModel(allowed=5)
    with answering(model, broker=log_url) as stage, Reader(stage.server) as ana, Reader(stage.server) as tab:
        ana.ask()
        ana.take(5)
        tab.ask()
        tab.send("stop", "a")
        assert ana.rest()[-1]["reason"] == tab.rest()[-1]["reason"] == "stopped"
        assert model.closed.wait(DEADLINE)
        model.allow(10)
        assert model.made == 5


def test_a_reader_that_leaves_ends_it(log_url: str) -> None:
    """Nothing is made for nobody; what was made can still be read."""
    model = StepModel(allowed=5)
    with answering(model, broker=log_url) as stage:
        with Reader(stage.server) as ana:
            ana.ask()
            ana.take(5)
        assert model.closed.wait(DEADLINE)
        model.allow(10)
        assert (model.made, stage.numbers.tokens, stage.numbers.unread) == (5, 5, 0)
        with Reader(stage.server) as ana:
            ana.resume()
            pieces = ana.rest()
            assert (text_of(pieces), pieces[-1]["reason"]) == ("0 1 2 3 4 ", "left")


def test_a_reader_that_leaves_at_once_ends_it(log_url: str) -> None:
    """Also before the first token, when the answer has only just begun."""
    model = StepModel()
    with answering(model, broker=log_url) as stage:
        with Reader(stage.server) as ana:
            assert ana.ask()["type"] == "answer"
        stage.until_ended("left")
        assert model.made == 0


def test_a_second_tab_joins_in_the_middle_and_has_the_whole_text(log_url: str) -> None:
    """It asks for the same, and the model isn't asked again; the first tab may leave."""
    model = StepModel(*TEN, allowed=5)
    with answering(model, broker=log_url) as stage, Reader(stage.server) as tab:
        with Reader(stage.server) as ana:
            ana.ask()
            ana.take(5)
            tab.ask()
            tab.take(5)
        model.allow(5)
        rest = tab.rest()
        assert (text_of(rest), rest[-1]["reason"]) == ("5 6 7 8 9 ", "complete")
        assert model.prompts == ["hello"]


def test_a_lost_connection_is_resumed_without_asking_twice(log_url: str) -> None:
    """Nothing is lost or doubled; meanwhile the model waits, after the token that it was about to make."""
    model = StepModel(*TEN, allowed=4)
    with answering(model, broker=log_url, answer_grace_seconds=30) as stage:
        ana = Reader(stage.server)
        ana.ask()
        before = ana.take(4)
        ana.lose()
        model.allow(6)
        with Reader(stage.server) as again:
            again.resume(after=before[-1]["position"])
            rest = again.rest()
        assert text_of(before) + text_of(rest) == WHOLE
        assert rest[-1]["reason"] == "complete"
        assert model.prompts == ["hello"]
        assert stage.numbers.unread <= 1


def test_a_reader_that_does_not_come_back_is_not_waited_for_long(log_url: str) -> None:
    """After the grace time the model is closed."""
    model = StepModel(allowed=2)
    with answering(model, broker=log_url, answer_grace_seconds=0.1) as stage:
        ana = Reader(stage.server)
        ana.ask()
        ana.take(2)
        ana.lose()
        model.allow(1)  # the token that it was about to make
        stage.until_ended("left")
        assert model.closed.is_set()
        assert model.made <= 3


def test_an_error_in_the_middle_is_the_last_piece(log_url: str) -> None:
    """Typed, without the words of the exception; what came before it stays."""
    model = StepModel("one ", "two ", allowed=2, error=RuntimeError("key sk-secret is over its quota"))
    with answering(model, broker=log_url) as stage, Reader(stage.server) as ana:
        ana.ask()
        pieces = ana.rest()
        assert text_of(pieces) == "one two "
        assert {**pieces[-1], "position": None} == {
            "type": "failed",
            "answer": "a",
            "reason": "model",
            "position": None,
        }
        assert ana.ask("b")["type"] == "answer"


def test_two_answers_at_once_on_one_connection(log_url: str) -> None:
    """Each piece names its answer."""
    model = StepModel(*TEN, allowed=20)
    with answering(model, broker=log_url) as stage, Reader(stage.server) as ana:
        ana.send("ask", "a", prompt="first")
        ana.send("ask", "b", prompt="second")
        pieces = ana.rest() + ana.rest()
        for name in ("a", "b"):
            own = [piece for piece in pieces if piece["answer"] == name]
            assert [own[0]["type"], own[-1]["type"]] == ["answer", "end"]
            assert text_of(own) == WHOLE


@pytest.mark.parametrize("bound", [True, False], ids=["fast", "portable"])
def test_a_slow_reader_gets_joined_tokens(bound: bool) -> None:
    """No queue grows for a client that doesn't read, and it misses nothing."""
    tokens = tuple(f"{number:0600} " for number in range(1_500))
    model = StepModel(*tokens, allowed=1_500)
    limits: dict[str, Any] = {"answer_tokens": 1_501, "outbox_messages": 8, "send_seconds": 60}
    with answering(model, bound=bound, **limits) as stage, Reader(stage.server, slow=True) as slow:
        slow.send("ask", "a", prompt="hello")
        with Reader(stage.server) as ana:
            ana.ask()
            assert ana.rest()[-1]["reason"] == "complete"
        assert statistics().messages <= 1
        assert slow.next()["type"] == "answer"
        pieces = slow.rest()
        assert text_of(pieces) == "".join(tokens)
        assert len(pieces) < 1_000


def test_the_answer_is_private(log_url: str) -> None:
    """Another user's answer of the same name is another answer."""
    with (
        answering(StepModel(*TEN, allowed=1), broker=log_url) as stage,
        Reader(stage.server) as ana,
        Reader(stage.server, "ben") as ben,
    ):
        ana.ask()
        error = ben.resume()
        assert (error["type"], error["field"]) == ("error", "answer")


def test_what_cannot_be_read_is_refused(log_url: str) -> None:
    """An answer that nobody asked for, one that is read already, and a position that it never had."""
    with (
        answering(StepModel(*TEN, allowed=1), broker=log_url) as stage,
        Reader(stage.server) as ana,
        Reader(stage.server) as tab,
    ):
        assert ana.resume("never")["expected"] == "an answer of yours that is still stored"
        position = ana.ask()["position"]
        ana.take(1)
        assert "already" in ana.ask()["expected"]
        for wrong in ({"epoch": "x", "offset": 1}, {**position, "offset": 99}):
            error = tab.resume(after=wrong)
            assert (error["field"], error["expected"]) == ("after", "a position of this answer")
