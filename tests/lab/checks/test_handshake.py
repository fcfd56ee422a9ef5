"""The verdicts of lesson 01: the stub, the solution, and the answers that people really give."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException, WebSocket, WebSocketException
from fastapi.responses import PlainTextResponse
from hypothesis import given
from hypothesis import strategies as st
from lab.checks.handshake import (
    GUID,
    _header,
    check_accept_value,
    check_frame_header,
    check_long_frame_header,
    check_refusal,
)
from websockets.frames import Frame, Opcode

Handler = Callable[[WebSocket], Any]


# exercise 1


def accept_value(key: str) -> str:
    """The solution of exercise 1."""
    digest = hashlib.sha1((key + GUID).encode()).digest()
    return base64.b64encode(digest).decode()


def with_an_encoder(key: str) -> str:
    """In steps, with a hash that is filled in two goes."""
    hashed = hashlib.sha1()
    hashed.update(key.encode("ascii"))
    hashed.update(GUID.encode("ascii"))
    return str(base64.standard_b64encode(hashed.digest()), "ascii")


def with_binascii(key: str) -> str:
    """With another module for base64."""
    return binascii.b2a_base64(hashlib.sha1(f"{key}{GUID}".encode()).digest(), newline=False).decode()


@pytest.mark.parametrize("answer", [accept_value, with_an_encoder, with_binascii])
def test_the_right_accept_value_passes(answer: Callable[[str], str]) -> None:
    """The solution passes, however it is written."""
    assert str(check_accept_value(answer)) == "passed: a server would send the same values"


def test_the_stub_of_exercise_1_is_not_there_yet() -> None:
    """The verdict on an untouched answer cell says so, without a traceback."""

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
    (lambda key: sha1(key).update(b"") or None, "does the function `return` it?"),
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


def with_masks(data: bytes) -> tuple[bool, int, bool, int]:
    """Without a shift."""
    return data[0] & 0b1000_0000 != 0, data[0] & 0b0000_1111, data[1] & 0b1000_0000 != 0, data[1] & 0b0111_1111


def with_arithmetic(data: bytes) -> tuple[bool, int, bool, int]:
    """With numbers instead of bits."""
    return data[0] >= 128, data[0] % 16, data[1] >= 128, data[1] % 128


def with_text(data: bytes) -> list[Any]:
    """With the bits as text, and a list."""
    first, second = f"{data[0]:08b}", f"{data[1]:08b}"
    return [first[0] == "1", int(first[4:], 2), second[0] == "1", int(second[1:], 2)]


@pytest.mark.parametrize("answer", [frame_header, with_masks, with_arithmetic, with_text])
def test_the_right_header_passes(answer: Callable[[bytes], Any]) -> None:
    """The solution passes, however it is written."""
    assert str(check_frame_header(answer)).startswith("passed: every header is read")


def test_the_right_long_header_passes() -> None:
    """The solution of the deeper notebook passes, and the lesson's does not yet."""
    assert str(check_long_frame_header(frame_header)).startswith("passed: every form is read")
    assert "126 says that the next 2 bytes" in str(check_long_frame_header(with_masks))


def test_the_stub_of_exercise_2_is_not_there_yet() -> None:
    """The verdict on an untouched answer cell says so."""

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


def with_print(data: bytes) -> None:
    """Prints its answer."""
    print(frame_header(data))


WRONG_LONG_HEADERS = [
    (without_long_forms, "got length 126, expected 300; 126 says that the next 2 bytes hold the length"),
    (little_endian, "the most significant byte comes first"),
    (four_bytes_for_127, "bytes 2 to 9"),
]
WRONG_HEADERS = [
    (with_the_mask_bit, "the bit on the left of the second byte says masked, it is not length"),
    (with_print, "got None, expected a tuple of four"),
    (lambda data: (True, data[0] & 15, bool(data[1] >> 7), data[1] & 127), "the bit on the left of the first byte"),
    (lambda data: (bool(data[0] >> 7), data[1] & 15, bool(data[1] >> 7), data[1] & 127), "four bits on the right"),
    (lambda data: (True, data[0], False, data[1]), "four bits on the right of the first byte"),
    (lambda data: (data[0], data[0] & 15, False, data[1]), "the bit on the left of the first byte"),
    (lambda data: (True, data[0] & 15, False, data[1] & 127), "the bit on the left of the second byte"),
    (lambda data: frame_header(data)[3], "a tuple of four: (fin, opcode, masked, length)"),
    ({}.get, "got None, expected a tuple of four"),
    (lambda data: frame_header(data.hex()), "raised TypeError"),
]


@pytest.mark.parametrize(("answer", "help_"), WRONG_HEADERS)
def test_a_wrong_header_gets_a_verdict_that_helps(answer: Callable[[bytes], Any], help_: str) -> None:
    """The verdict on each typical mistake names the wrong field."""
    verdict = check_frame_header(answer)
    assert str(verdict).startswith("not yet: ")
    assert help_ in str(verdict)


@pytest.mark.parametrize(("answer", "help_"), WRONG_LONG_HEADERS)
def test_a_wrong_long_header_gets_a_verdict_that_helps(answer: Callable[[bytes], Any], help_: str) -> None:
    """In the deeper notebook, the length has mistakes of its own."""
    assert help_ in str(check_long_frame_header(answer))


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


async def with_a_default(websocket: WebSocket, token: str = "") -> None:
    """The solution with FastAPI's own query parameter, which has a default."""
    if token == "sesame":
        await websocket.accept()
        await websocket.send_text("welcome")
    else:
        raise HTTPException(status_code=401)


@pytest.mark.parametrize("handler", [enter, deny, with_a_default])
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


async def expects_a_token(websocket: WebSocket) -> None:
    """Fails without a token."""
    if websocket.query_params["token"] != "sesame":
        raise HTTPException(401)
    await open_door(websocket)


async def another_greeting(websocket: WebSocket) -> None:
    """Says something else."""
    if websocket.query_params.get("token") != "sesame":
        raise HTTPException(401)
    await websocket.accept()
    await websocket.send_text("hello")


async def not_found(websocket: WebSocket) -> None:
    """Any other status."""
    raise HTTPException(404)


async def required(websocket: WebSocket, token: str) -> None:
    """FastAPI refuses by itself when the parameter is missing."""
    if token != "sesame":
        raise HTTPException(401)
    await open_door(websocket)


async def somewhere(websocket: WebSocket) -> None:
    """Looks for the word anywhere in the address."""
    if "sesame" not in str(websocket.url):
        raise HTTPException(401)
    await open_door(websocket)


async def ends_with(websocket: WebSocket) -> None:
    """Looks at the end of the address."""
    if not str(websocket.url).endswith("=sesame"):
        raise HTTPException(401)
    await open_door(websocket)


async def without_await(websocket: WebSocket) -> None:
    """Forgets the await of accept."""
    if websocket.query_params.get("token") != "sesame":
        raise HTTPException(401)
    websocket.accept()  # type: ignore[unused-coroutine]
    await websocket.send_text("welcome")


WRONG_REFUSALS = [
    (expects_a_token, "raised KeyError: 'token'"),
    (required, 'give it a default, `token: str = ""`, and raise HTTPException(401, …) yourself'),
    (somewhere, "compare the whole token"),
    (ends_with, "compare the whole token"),
    (without_await, "`websocket.accept(…)` has no `await` in front of it"),
    (open_door, "not yet: a client without a token was accepted and got 'welcome', expected HTTP 401"),
    (close_first, "`close()` before `accept()` always becomes an empty 403; raise HTTPException(401, …) instead"),
    (
        raise_websocket_exception,
        "WebSocketException stands for a close code, and before `accept()` there are no frames",
    ),
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
    """The verdict on each typical mistake says what a client saw."""
    verdict = check_refusal(club(handler))
    assert str(verdict).startswith("not yet: ")
    assert help_ in str(verdict)


def test_what_is_no_app_gets_a_verdict() -> None:
    """The verdict on a handler, a class or an app without the route differs from that on a wrong answer."""
    assert "pass the FastAPI() object" in str(check_refusal(enter))
    assert "pass the FastAPI() object" in str(check_refusal(None))
    assert "no WebSocket route at /ws" in str(check_refusal(FastAPI()))
