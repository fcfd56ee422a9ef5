"""Texts are cut between two characters as a reader sees them."""

from __future__ import annotations

import ast
import io
import json
from collections.abc import Awaitable, Callable
from email.message import Message
from itertools import accumulate
from urllib.error import HTTPError

import pytest
import wcwidth  # comes with IPython
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from hypothesis import given
from hypothesis import strategies as st

from server.access.http_errors import invalid_request
from server.broker import PayloadError
from server.broker.validation import check_topic
from server.client.errors import Disconnect
from server.messages import ChatIn, Error, parse
from server.messages.shorten import characters, shorten

SAMPLES = [
    "a",
    "é",
    "e\u0301",
    "\r\n",
    "\u0e01\u0e33",  # Thai, with a vowel that stands beside it
    "\u0915\u094d\u0937\u093f",  # Hindi: two consonants, their joiner and a vowel
    "\u1112\u1161\u11ab",  # a Korean syllable, as macOS writes the names of files
    "각",
    "ｶ\uff9e",
    "🦊",
    "👍🏽",
    "👩\u200d👩\u200d👧",
    "❤\ufe0f\u200d🔥",
    "1\ufe0f\u20e3",
    "🇩🇪",
    "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "\ud83e\udd8a",  # as JavaScript counts it
]
PIECES = st.lists(st.sampled_from(SAMPLES), max_size=12)
# what Unicode has added since this Python, and signs that belong to the character behind them, are beyond us
LETTERS = st.characters(max_codepoint=0xCFF, exclude_categories=("Cn", "Cf"))
ANY = st.text(LETTERS | st.sampled_from("".join(SAMPLES)), max_size=40)


@pytest.mark.parametrize("sample", SAMPLES, ids=ascii)
def test_a_character_is_never_cut(sample: str) -> None:
    """It is whole or not there, whatever the limit."""
    text = f"ab{sample}cd"
    assert {shorten(text, limit) for limit in range(2, len(text))} <= {"ab", f"ab{sample}", f"ab{sample}c"}
    assert shorten(text, len(text)) == text


@given(PIECES, st.integers(0, 60))
def test_as_much_is_kept_as_has_room(pieces: list[str], limit: int) -> None:
    """The beginning ends where a character ends, and the next one would not fit."""
    text = "".join(f"{piece} " for piece in pieces)
    ends = [*accumulate(len(one) for piece in pieces for one in (piece, " ")), 0]
    first = len(pieces[0]) if pieces else 0
    if limit >= first:
        assert len(shorten(text, limit)) == max(end for end in ends if end <= limit)
    else:
        assert shorten(text, limit) == text[:limit]


@given(ANY)
def test_no_text_is_cut_where_a_reader_sees_no_end(text: str) -> None:
    """As an independent implementation of UAX 29 has it; nothing is lost."""
    ours = list(characters(text))
    assert "".join(ours) == text
    theirs = set(accumulate(map(len, wcwidth.iter_graphemes(text))))
    pairs = {end for end in range(1, len(text)) if "\ud800" <= text[end - 1] < "\udc00" <= text[end] < "\ue000"}
    assert set(accumulate(map(len, ours))) <= theirs - pairs


@given(ANY, st.integers(0, 30))
def test_a_limit_may_count_bytes(text: str, limit: int) -> None:
    """Or whatever else `size` measures."""

    def size(part: str) -> int:
        return len(part.encode(errors="replace"))

    cut = shorten(text, limit, size=size)
    assert text.startswith(cut)
    assert size(cut) <= limit
    if cut != text and next(characters(text)) in cut:
        assert size(cut) + size(next(characters(text[len(cut) :]))) > limit


def test_one_character_without_an_end_is_cut() -> None:
    """Whoever writes a thousand accents over one letter gets no more room than others."""
    assert shorten("e" + "\u0301" * 1_000, 10) == "e" + "\u0301" * 9
    assert shorten("👩\u200d" * 100, 3, size=lambda part: len(part.encode())) == ""


# where it is used

FAMILY = "👩\u200d👩\u200d👧"


async def field(name: str) -> str:
    """The name of an unknown field, in the error that answers a message."""
    error = parse(json.dumps({"type": "leave", "room": "lobby", name: 1}), ChatIn)
    assert isinstance(error, Error)
    return str(error.field)


async def place(name: str) -> str:
    """The same in the answer of a route."""
    wrong = RequestValidationError([{"loc": [name], "msg": "extra"}])
    answer = await invalid_request(Request({"type": "http"}), wrong)
    return str(json.loads(bytes(answer.body))["detail"][0]["loc"][0])


async def topic(name: str) -> str:
    """The name of a topic, in the error of a broker."""
    with pytest.raises(PayloadError) as refused:
        check_topic(name)
    shown = str(refused.value)
    return str(ast.literal_eval(shown[shown.index("'") : shown.index("…")]))


async def reason(text: str) -> str:
    """What a client says of an answer that refuses it."""
    body = json.dumps({"detail": text}, ensure_ascii=False).encode()
    return Disconnect.from_exception(HTTPError("http://x", 403, "Forbidden", Message(), io.BytesIO(body))).reason


@pytest.mark.anyio
@pytest.mark.parametrize("shown", [field, place, topic, reason])
async def test_what_is_shown_is_cut_between_two_characters(shown: Callable[[str], Awaitable[str]]) -> None:
    """Wherever a limit happens to fall."""
    for start in range(len(FAMILY)):
        text = "x" * start + FAMILY * 200
        found = await shown(text)
        assert found in {text[: start + len(FAMILY) * count] for count in range(200)}
        assert len(found) > start
