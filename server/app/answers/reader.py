"""One reader of an answer: the pieces that it hasn't got yet, with the tokens that have come meanwhile joined."""

from __future__ import annotations

from collections.abc import AsyncIterator

from ...broker import Position
from ...messages import AnswerText
from .records import Stored
from .transcript import Transcript

__all__ = ["AnswerReader"]

MOST_JOINED = 8_192  # characters of tokens that are joined to one message, so that it fits into any outbox


class AnswerReader:
    """Iterates over an answer after a position, until its last piece.

    Ask for the next piece when the reader has taken this one. A slow reader costs no queue then: it has only its place
    in the transcript, and gets more tokens at once.
    """

    def __init__(self, transcript: Transcript, start: Position) -> None:
        """Begin after a position from `Transcript.start`."""
        self._transcript = transcript
        self._next = transcript.count_up_to(start)
        self._stopped = False

    def stop(self) -> None:
        """End the iteration, as if the answer were over."""
        self._stopped = True
        self._transcript.notify()

    async def __aiter__(self) -> AsyncIterator[Stored]:
        """Yield one piece after the other."""
        transcript = self._transcript
        while not self._stopped:
            if self._next < len(transcript.pieces):
                yield self._take()
            elif transcript.is_over:
                return
            else:
                await transcript.wait()

    def _take(self) -> Stored:
        piece = self._transcript.pieces[self._next]
        self._next += 1
        if not isinstance(piece, AnswerText):
            return piece
        texts, last, size = [piece.text], piece, len(piece.text)
        for following in self._transcript.pieces[self._next :]:
            if not isinstance(following, AnswerText) or size + len(following.text) > MOST_JOINED:
                break
            texts.append(following.text)
            last, size = following, size + len(following.text)
        self._next += len(texts) - 1
        return last.model_copy(update={"text": "".join(texts)})
