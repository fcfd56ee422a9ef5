"""The streamed answers under attack: floods at ``/answers``, and clients that ask for more than they read."""

from __future__ import annotations

import json
import socket
import struct
from contextlib import ExitStack

import httpx
import pytest
from websockets.frames import Opcode

from server.messages import CloseCode

from .beside import beside
from .frames import close_code, frame
from .target import DEADLINE, Target, until
from .test_floods import SMALL, pour

TEXT = Opcode.TEXT
ASK = b'{"type":"ask","answer":"a","prompt":"hello"}'


def numbers(target: Target) -> dict[str, float]:
    """What the answers have cost, by the name of the metric."""
    text = httpx.get(f"http://127.0.0.1:{target.port}/metrics", trust_env=False).text
    lines = [line.split(" ") for line in text.splitlines() if line.startswith("chat_answer")]
    return {name: float(value) for name, value in lines}


@pytest.mark.parametrize("text", [b"junk", ASK, b'{"type":"stop","answer":"a"}'], ids=["junk", "ask", "stop"])
def test_a_flood_at_the_answers_is_closed_with_4002(target: Target, text: bytes) -> None:
    """However small they are, and however many come in one packet."""
    with beside(target, memory=SMALL), target.upgraded(f"asker {text!r}", path="/answers") as raw:
        assert close_code(pour(raw, frame(TEXT, text) * 10_000, 20)) == CloseCode.KICKED_FOR_SPAM


def test_one_user_gets_two_answers_at_once(target: Target) -> None:
    """On however many connections."""
    with beside(target, memory=SMALL), ExitStack() as open_sockets:
        refused = 0
        for number in range(10):
            raw = open_sockets.enter_context(target.upgraded("greedy", path="/answers"))
            raw.settimeout(DEADLINE)
            raw.sendall(frame(TEXT, json.dumps({"type": "ask", "answer": str(number), "prompt": "hello"}).encode()))
            received = b""
            while b'"answer":' not in received and b'"error"' not in received:
                received += raw.recv(65_536)
            refused += b'"error"' in received
        assert refused == 8


def test_clients_that_ask_and_vanish_cost_nothing(target: Target) -> None:
    """Their answers end after the grace time, and no token is made for nobody but the one that was being made."""
    assert until(lambda: numbers(target)["chat_answers_running"] == 0)  # those of the tests before are over
    before = numbers(target)
    with beside(target, memory=SMALL):
        for number in range(30):
            raw = target.upgraded(f"vanisher {number}", path="/answers")
            raw.sendall(frame(TEXT, ASK))
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raw.close()
        assert until(lambda: numbers(target)["chat_answers_running"] == 0)
    after = numbers(target)
    assert after["chat_answer_tokens_unread_total"] - before["chat_answer_tokens_unread_total"] <= 30


@pytest.mark.parametrize("path", ["/answers", "/answers?ticket=made-up"])
def test_nobody_asks_without_proof(target: Target, path: str) -> None:
    """As at the chat."""
    assert target.answer(target.request(None, path=path)).startswith(b"HTTP/1.1 401 ")
