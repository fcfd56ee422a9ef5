"""The model that is asked: what it must look like, and a fake one that needs no provider and no key."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from pydantic import JsonValue

__all__ = ["FakeModel", "Model", "Piece", "ToolCall"]


@dataclass(frozen=True)
class ToolCall:
    """The model calls a tool."""

    name: str
    arguments: dict[str, JsonValue]


Piece = str | ToolCall
"""What a model yields: a token of text, or a call of a tool."""

Model = Callable[[str], AsyncGenerator[Piece, None]]
"""Takes a prompt and yields the pieces of the answer, one after the other, as the model makes them.

It is asked for the next piece only when the last one is stored. When nobody wants more, it is closed: an
`asyncio.CancelledError` or a `GeneratorExit` is raised where it waits, so that ``async with`` ends the request to the
provider. To tell that it failed, it raises any exception.

A real provider goes in here. Each of them has a client whose stream is iterated with ``async for``::

    async def ask(prompt: str) -> AsyncGenerator[Piece, None]:
        async with client.stream(prompt) as stream:  # leaving the block cancels the request: nothing more is paid
            async for event in stream:
                yield event.text
"""

SENTENCES = (
    "A WebSocket stays open, so the server can send whenever it has something to say.",
    "Each token is a message of its own, and you read it while the next one is being made.",
    "If the connection breaks, come back with the last position that you have seen.",
    "When you close this tab, the model stops, because nobody would read the rest.",
    "A slow reader gets several tokens in one message, so that no queue can grow.",
    "The answer is stored in a log, and a second tab reads the same log from the beginning.",
)


class FakeModel:
    """A model that answers with a few sentences about WebSockets; the same prompt always gets the same answer.

    A prompt with "how many words" gets a call of a tool first, and one with "fail" an error in the middle.
    """

    def __init__(self, *, seconds: float = 0.05) -> None:
        """Wait this many seconds before each token."""
        self._seconds = seconds

    async def __call__(self, prompt: str) -> AsyncGenerator[Piece, None]:
        """Yield the answer to a prompt, token by token.

        Raises:
            RuntimeError: the prompt asked for it.
        """
        words = " ".join(random.Random(prompt).sample(SENTENCES, 3)).split(" ")
        if "how many words" in prompt.lower():
            await asyncio.sleep(self._seconds)
            yield ToolCall("count_words", {"text": prompt})
            words = [*f"Your message has {len(prompt.split())} words.".split(" "), *words]
        for number, word in enumerate(words):
            if number == len(words) // 2 and "fail" in prompt.lower():
                raise RuntimeError("the fake model was asked to fail")
            await asyncio.sleep(self._seconds)
            yield word if number == 0 else f" {word}"
