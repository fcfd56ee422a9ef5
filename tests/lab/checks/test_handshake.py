"""The verdicts of lesson 01: the stub, the solution, and the answers that people really give."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException, WebSocket, WebSocketException
from fastapi.responses import PlainTextResponse
from hypothesis import given
from hypothesis import strategies as st
from lab.checks.handshake import GUID, _header, check_accept_value, check_frame_header, check_refusal
from websockets.frames import Frame, Opcode

Handler = Callable[[WebSocket], Any]


# exercise 1


def accept_value(key: str) -> str:
    """The solution of exercise 1."""
    digest = hashlib.sha1((key + GUID).encode()).digest()
    return base64.b64encode(digest).decode()


def test_the_right_accept_value_passes() -> None:
    """The solution passes."""
    assert str(check_accept_value(accept_value)) == "passed: your values are the ones that a server would send"


def test_the_stub_of_exercise_1_is_not_there_yet() -> None:
    """An untouched answer cell is told so, and gets no traceback."""

    def accept_value(key: str) -> str:
        raise NotImplementedError

    assert str(check_accept_value(accept_value)).startswith("not yet: accept_value is still the stub")


def sha1(text: str) -> Any:
    """Half of the way."""
    return hashlib.sha1(text.encode())


WRONG_ACCEPT_VALUES = [
    (lambda key: sha1(key + GUID).hexdigest(), "take `digest()`, and put it into base64"),
    (lambda key: base64.b64encode(sha1(key + GUID).hexdigest().encode()).decode(), "the 20 bytes of `digest()`"),
    (lambda key: base64.b64encode(sha1(key + GUID).digest()), "add `.decode()`"),
    (lambda key: sha1(key + GUID).digest(), "add `.decode()`"),
    (lambda key: base64.b64encode(sha1(GUID + key).digest()).decode(), "the key comes first"),
    (lambda key: base64.b64encode(sha1(key).digest()).decode(), "the GUID is missing"),
    (lambda key: base64.b64encode(sha1(key + GUID.lower()).digest()).decode(), "capital letters"),
    (lambda key: base64.b64encode((key + GUID).encode()).decode(), "SHA-1 comes before base64"),
    (lambda key: base64.encodebytes(sha1(key + GUID).digest()).decode(), "not `encodebytes`"),
    (lambda key: base64.urlsafe_b64encode(sha1(key + GUID).digest()).decode(), "keeps + and /"),
    (lambda key: base64.b64encode(hashlib.sha256((key + GUID).encode()).digest()).decode(), "not SHA-256"),
    (
        lambda key: base64.b64encode(hashlib.sha1(base64.b64decode(key) + GUID.encode()).digest()).decode(),
        "without decoding it",
    ),
    (lambda key: "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "use the parameter `key`"),
    (lambda key: sha1(key).update(b"") or None, "`return`"),
    (lambda key: 7, "a header is text"),
    (lambda key: "hello", "sha1 of key + GUID"),
    (lambda key: hashlib.sha1(key + GUID), "raised TypeError"),
]


@pytest.mark.parametrize(("answer", "help_"), WRONG_ACCEPT_VALUES)
def test_a_wrong_accept_value_gets_a_verdict_that_helps(answer: Callable[[str], str], help_: str) -> None:
    """Each typical mistake is recognised by what it computes."""
    verdict = check_accept_value(answer)
    assert str(verdict).startswith("not yet: ")
    assert help_ in str(verdict)


# exercise 2


def frame_header(data: bytes) -> tuple[bool, int, bool, int]:
    """The solution of exercise 2."""
    fin, opcode = bool(data[0] & 0x80), data[0] & 0x0F
    masked, length = bool(data[1] & 0x80), data[1] & 0x7F
    if length == 126:
        length = int.from_bytes(data[2:4], "big")
    elif length == 127:
        length = int.from_bytes(data[2:10], "big")
    return fin, opcode, masked, length


def test_the_right_header_passes() -> None:
    """The solution passes."""
    assert str(check_frame_header(frame_header)).startswith("passed: every form is read")


def test_the_stub_of_exercise_2_is_not_there_yet() -> None:
    """An untouched answer cell is told so."""

    def frame_header(data: bytes) -> tuple[bool, int, bool, int]:
        raise NotImplementedError

    assert "still the stub" in str(check_frame_header(frame_header))


def without_long_forms(data: bytes) -> tuple[bool, int, bool, int]:
    """Forgets that 126 and 127 are no lengths."""
    return bool(data[0] >> 7), data[0] & 15, bool(data[1] >> 7), data[1] & 127


def little_endian(data: bytes) -> tuple[bool, int, bool, int]:
    """Reads the length from the wrong end."""
    fin, opcode, masked, length = without_long_forms(data)
    size = {126: 2, 127: 8}.get(length)
    return fin, opcode, masked, int.from_bytes(data[2 : 2 + size], "little") if size else length


def with_the_mask_bit(data: bytes) -> tuple[bool, int, bool, int]:
    """Takes the flag for a part of the length."""
    return bool(data[0] >> 7), data[0] & 15, bool(data[1] >> 7), data[1]


def four_bytes_for_127(data: bytes) -> tuple[bool, int, bool, int]:
    """Believes that the long form has 32 bits."""
    fin, opcode, masked, length = frame_header(data)
    return fin, opcode, masked, int.from_bytes(data[2:6]) if data[1] & 127 == 127 else length


WRONG_HEADERS = [
    (without_long_forms, "got length 126, expected 300; 126 says that the next 2 bytes hold the length"),
    (little_endian, "the most significant byte comes first"),
    (with_the_mask_bit, "the mask flag, not length"),
    (four_bytes_for_127, "bytes 2 to 9"),
    (lambda data: (True, data[0], False, data[1]), "low four bits of the first byte"),
    (lambda data: (data[0], data[0] & 15, False, data[1]), "top bit of the first byte"),
    (lambda data: (True, data[0] & 15, False, data[1] & 127), "top bit of the second byte"),
    (lambda data: frame_header(data)[3], "a tuple of four: (fin, opcode, masked, length)"),
    ({}.get, "got None, expected a tuple of four"),
    (lambda data: frame_header(data.hex()), "raised TypeError"),
]


@pytest.mark.parametrize(("answer", "help_"), WRONG_HEADERS)
def test_a_wrong_header_gets_a_verdict_that_helps(answer: Callable[[bytes], Any], help_: str) -> None:
    """Each typical mistake is told by the field that it gets wrong."""
    verdict = check_frame_header(answer)
    assert str(verdict).startswith("not yet: ")
    assert help_ in str(verdict)


@given(st.binary(max_size=70_000), st.booleans(), st.booleans(), st.sampled_from([Opcode.TEXT, Opcode.BINARY]))
def test_the_check_agrees_with_websockets(payload: bytes, fin: bool, mask: bool, opcode: Opcode) -> None:
    """What the check takes for right is what a library builds."""
    frame = Frame(opcode, payload, fin=fin).serialize(mask=mask)
    assert _header(frame) == frame_header(frame) == (fin, opcode, mask, len(payload))


# exercise 3


def club(handler: Handler) -> FastAPI:
    """An app with the reader's handler at /ws."""
    app = FastAPI()
    app.websocket("/ws")(handler)
    return app


async def enter(websocket: WebSocket) -> None:
    """The solution of exercise 3."""
    if websocket.query_params.get("token") != "sesame":
        raise HTTPException(401, "the password, please")
    await websocket.accept()
    await websocket.send_text("welcome")


async def deny(websocket: WebSocket) -> None:
    """The solution with the other way to send a response."""
    if websocket.query_params.get("token") != "sesame":
        await websocket.send_denial_response(PlainTextResponse("the password, please", 401))
        return
    await websocket.accept()
    await websocket.send_text("welcome")


@pytest.mark.parametrize("handler", [enter, deny])
def test_a_real_401_passes(handler: Handler) -> None:
    """HTTPException and a denial response are both right."""
    assert str(check_refusal(club(handler))) == 'passed: without the token a client reads 401, with it "welcome"'


async def open_door(websocket: WebSocket) -> None:
    """The stub of exercise 3."""
    await websocket.accept()
    await websocket.send_text("welcome")


async def close_first(websocket: WebSocket) -> None:
    """Closes before it accepts."""
    if websocket.query_params.get("token") != "sesame":
        await websocket.close(4001, "the password, please")
        return
    await open_door(websocket)


async def accept_then_close(websocket: WebSocket) -> None:
    """What a page could read, but not a program."""
    await websocket.accept()
    if websocket.query_params.get("token") != "sesame":
        await websocket.close(4001, "the password, please")
    else:
        await websocket.send_text("welcome")


async def forbid(websocket: WebSocket) -> None:
    """The other status."""
    if websocket.query_params.get("token") != "sesame":
        raise HTTPException(403)
    await open_door(websocket)


async def raise_websocket_exception(websocket: WebSocket) -> None:
    """The other exception."""
    if websocket.query_params.get("token") != "sesame":
        raise WebSocketException(4001)
    await open_door(websocket)


async def refuse_after_accept(websocket: WebSocket) -> None:
    """The right exception, too late."""
    await websocket.accept()
    if websocket.query_params.get("token") != "sesame":
        raise HTTPException(401)
    await websocket.send_text("welcome")


async def any_token(websocket: WebSocket) -> None:
    """Asks for a token and does not look at it."""
    if not websocket.query_params.get("token"):
        raise HTTPException(401)
    await open_door(websocket)


async def nobody(websocket: WebSocket) -> None:
    """Lets nobody in."""
    raise HTTPException(401)


async def misspelt(websocket: WebSocket) -> None:
    """Fails."""
    if websocket.query["token"] != "sesame":  # type: ignore[attr-defined]
        raise HTTPException(401)


async def another_greeting(websocket: WebSocket) -> None:
    """Says something else."""
    if websocket.query_params.get("token") != "sesame":
        raise HTTPException(401)
    await websocket.accept()
    await websocket.send_text("hello")


async def not_found(websocket: WebSocket) -> None:
    """Any other status."""
    raise HTTPException(404)


WRONG_REFUSALS = [
    (open_door, "a client without a token was accepted and got 'welcome'; compare the token before `accept()`"),
    (close_first, "`close()` before `accept()` always becomes an empty 403; raise HTTPException(401, …) instead"),
    (raise_websocket_exception, "`close()` before `accept()` always becomes an empty 403"),
    (accept_then_close, "was accepted and then closed with 4001; refuse before `accept()`"),
    (refuse_after_accept, "was accepted and then closed with 1006; refuse before `accept()`"),
    (forbid, "403 says «not you»; 401 says «tell me who you are»"),
    (not_found, "got HTTP 404, expected 401; raise HTTPException(401, …)"),
    (any_token, "a client with a wrong token was accepted"),
    (nobody, "with ?token=sesame the handshake was refused with HTTP 401"),
    (misspelt, "raised AttributeError"),
    (another_greeting, "got 'hello', expected 'welcome'"),
]


@pytest.mark.parametrize(("handler", "help_"), WRONG_REFUSALS)
def test_a_wrong_refusal_gets_a_verdict_that_helps(handler: Handler, help_: str) -> None:
    """Each typical mistake is told by what a client saw, within 2 s."""
    start = time.monotonic()
    verdict = check_refusal(club(handler))
    assert time.monotonic() - start < 2
    assert str(verdict).startswith("not yet: ")
    assert help_ in str(verdict)


def test_what_is_no_app_gets_a_verdict() -> None:
    """A handler, a class or an app without the route is told apart from a wrong answer."""
    assert "pass the FastAPI() object" in str(check_refusal(enter))
    assert "pass the FastAPI() object" in str(check_refusal(None))
    assert "no WebSocket route at /ws" in str(check_refusal(FastAPI()))
