"""What a client reads in the answer that refuses it."""

from __future__ import annotations

import io
import json
from email.message import Message
from urllib.error import HTTPError

import pytest

from server.client.errors import LONGEST_BODY, LONGEST_REASON, Disconnect


def reason(body: bytes) -> str:
    """Return the reason that is read in this body."""
    return Disconnect.from_exception(HTTPError("http://127.0.0.1/login", 422, "", Message(), io.BytesIO(body))).reason


def test_a_long_answer_is_read_whole() -> None:
    """FastAPI repeats the input that it refuses, which may be long."""
    assert reason(json.dumps({"detail": "too long", "input": "x" * 5_000}).encode()) == "too long"


@pytest.mark.parametrize("shift", range(4))
def test_no_character_is_cut_in_half(shift: int) -> None:
    """Neither where the answer is cut nor where its reason is."""
    body = b" " * (LONGEST_BODY - 20 - shift) + "\U0001f600".encode() * 100
    assert set(reason(body)) == {"\U0001f600"}
    detail = json.dumps({"detail": ["\U0001f600" * 300]}).encode()
    assert reason(detail) == '["' + "\U0001f600" * (LONGEST_REASON - 2)
