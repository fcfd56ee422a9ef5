"""What a transcript makes of records that arrive in an awkward moment."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from server.app.answers.reader import AnswerReader
from server.app.answers.records import Begun
from server.app.answers.transcript import Transcript
from server.broker import History, Position, Record
from server.messages import AnswerEnd, AnswerText, Message

pytestmark = pytest.mark.anyio

BEGUN = Begun(prompt="hello", generator="one")
TEXTS = [AnswerText(answer="a", text=text) for text in ("one ", "two ", "three ")]


def record(offset: int, message: Message) -> Record:
    """A record of an answer."""
    return Record("answer:1", Position("e", offset), message.encode(), 0.0)


class LateBroker:
    """A broker whose history is ahead of what it delivers, as an engine's is for a moment."""

    def __init__(self, *early: Record, stored: list[Record]) -> None:
        self._early = early
        self._stored = tuple(stored)

    @asynccontextmanager
    async def subscribe(self, topic: str, listener: Any) -> AsyncIterator[Position]:
        """Deliver what comes before the history is read."""
        for one in self._early:
            listener.on_record(one)
        yield Position("e", 0)

    async def history(self, topic: str) -> History:
        """Return all that is stored."""
        return History(self._stored, self._stored[-1].position, True)

    async def signal(self, topic: str, payload: str) -> None:
        """Do nothing."""


@pytest.mark.parametrize("early", [0, 1, 2])
async def test_a_record_that_is_delivered_late_comes_once(early: int) -> None:
    """Whether it came before the history was read, or comes after it."""
    stored = [record(1, BEGUN), record(2, TEXTS[0]), record(3, TEXTS[1])]
    following = [stored[2], record(4, TEXTS[2]), record(5, AnswerEnd(answer="a", reason="complete"))]
    broker: Any = LateBroker(*following[:early], stored=stored)
    transcript = Transcript(broker, "answer:1", "a", silence=60)
    async with transcript.open():
        for one in following[early:]:
            transcript.on_record(one)
        pieces = [piece async for piece in AnswerReader(transcript, transcript.start(None))]
    assert [piece.text for piece in pieces if isinstance(piece, AnswerText)] == ["one two three "]
    assert isinstance(pieces[-1], AnswerEnd)
