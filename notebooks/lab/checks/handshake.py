"""Checks of the exercises of lesson 01."""

from __future__ import annotations

import base64
import hashlib
import inspect
from collections.abc import Callable
from typing import Any

from websockets.frames import Frame, Opcode
from websockets.utils import accept_key

from .harness.trial import Answer, Trial
from .verdict import NotYet, judged, result_of, shown

__all__ = ["check_accept_value", "check_frame_header", "check_long_frame_header", "check_refusal"]

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEYS = ("dGhlIHNhbXBsZSBub25jZQ==", "AQIDBAUGBwgJCgsMDQ4PEA==", "x3JJHMbDL1EzLkh9GBhXDw==")

TOKEN = "sesame"


# exercise 1


@judged("a server would send the same values")
def check_accept_value(accept_value: Callable[[str], str]) -> None:
    """Check ``accept_value(key)``: the Sec-WebSocket-Accept for a Sec-WebSocket-Key (RFC 6455, 4.2.2)."""
    for key in KEYS:
        got = result_of(accept_value, key)
        if got != accept_key(key):
            raise NotYet(f"for {key} got {shown(got)}, expected {accept_key(key)!r}; {_accept_hint(key, got)}")


def _accept_hint(key: str, got: object) -> str:
    if got is None:
        return "does the function `return` it?"
    if isinstance(got, (bytes, bytearray)):
        return "a header is text: add `.decode()`"
    if not isinstance(got, str):
        return "a header is text"
    if got == accept_key(KEYS[0]):
        return "that is the answer to the lesson's key; use the parameter `key`"
    return next(
        (hint for value, hint in _accept_mistakes(key) if value == got.strip()), "sha1 of key + GUID, in base64"
    )


def _accept_mistakes(key: str) -> list[tuple[str, str]]:
    """Yield the results of typical mistakes, each with a hint."""
    right = hashlib.sha1((key + GUID).encode())
    inputs = [
        (GUID + key, "the key comes first, then the GUID"),
        (key, "the GUID is missing: it is added to the key before hashing"),
        (key + GUID.lower(), "the GUID is in capital letters"),
    ]
    return [
        (accept_key(key), "it ends in a line break; use `b64encode`, not `encodebytes`"),
        (right.hexdigest(), "these are hexadecimal digits: take `digest()`, and put it into base64"),
        (
            _base64(right.hexdigest().encode()),
            "you encoded the digits of `hexdigest()`: take the 20 bytes of `digest()`",
        ),
        (base64.urlsafe_b64encode(right.digest()).decode(), "use `b64encode`: the header keeps + and /"),
        (_base64((key + GUID).encode()), "it isn't hashed; SHA-1 comes before base64"),
        *((_base64(hashlib.sha1(text.encode()).digest()), hint) for text, hint in inputs),
        (
            _base64(hashlib.sha1(base64.b64decode(key) + GUID.encode()).digest()),
            "hash the key as text, without decoding it",
        ),
        (_base64(hashlib.sha256((key + GUID).encode()).digest()), "the hash is SHA-1, not SHA-256"),
    ]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


# exercise 2

SHORT = (
    Frame(Opcode.TEXT, b"hello").serialize(mask=False),
    Frame(Opcode.BINARY, b"\0" * 125).serialize(mask=False),
    Frame(Opcode.TEXT, b"hi").serialize(mask=True),
    Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=True),
    Frame(Opcode.TEXT, b"half", fin=False).serialize(mask=False),
    Frame(Opcode.PONG, b"").serialize(mask=True),
)
LONG = (
    Frame(Opcode.TEXT, b"x" * 126).serialize(mask=False),
    Frame(Opcode.TEXT, b"x" * 300).serialize(mask=True),
    Frame(Opcode.TEXT, b"x" * 65_535).serialize(mask=False),
    Frame(Opcode.BINARY, b"\0" * 65_536).serialize(mask=False),
    Frame(Opcode.BINARY, b"\0" * 70_000).serialize(mask=True),
)
FIELDS = ("fin", "opcode", "masked", "length")
WHERE = {
    "fin": "the bit on the left of the first byte",
    "opcode": "the four bits on the right of the first byte: `& 0b00001111`",
    "masked": "the bit on the left of the second byte",
}


@judged("every header is read, masked or not, from 0 to 125 bytes")
def check_frame_header(frame_header: Callable[[bytes], tuple[bool, int, bool, int]]) -> None:
    """Check ``frame_header(data)``: the tuple (fin, opcode, masked, length) of a frame of up to 125 bytes."""
    _check_headers(frame_header, SHORT)


@judged("every form is read, from 0 to 70,000 bytes, masked or not")
def check_long_frame_header(frame_header: Callable[[bytes], tuple[bool, int, bool, int]]) -> None:
    """Check ``frame_header(data)`` with frames of any length (RFC 6455, 5.2): for the notebook deeper/frames."""
    _check_headers(frame_header, SHORT + LONG)


def _check_headers(frame_header: Callable[[bytes], tuple[bool, int, bool, int]], frames: tuple[bytes, ...]) -> None:
    for frame in frames:
        got = result_of(frame_header, frame)
        expected = _header(frame)
        if not isinstance(got, (tuple, list)) or len(got) != len(FIELDS):
            raise NotYet(f"got {shown(got)}, expected a tuple of four: (fin, opcode, masked, length)")
        for field, value, right in zip(FIELDS, got, expected, strict=True):
            if value != right:
                hint = _header_hint(field, value, frame)
                raise NotYet(f"for {_first_bytes(frame)} got {field} {shown(value)}, expected {right!r}; {hint}")


def _header(frame: bytes) -> tuple[bool, int, bool, int]:
    return bool(frame[0] >> 7), frame[0] & 0x0F, bool(frame[1] >> 7), _length(frame)


def _length(frame: bytes) -> int:
    short = frame[1] & 0x7F
    return short if short < 126 else int.from_bytes(frame[2 : 4 if short == 126 else 10])


def _first_bytes(frame: bytes) -> str:
    """Return the header without the masking key, in hexadecimal."""
    size = {126: 4, 127: 10}.get(frame[1] & 0x7F, 2)
    return f"the frame {frame[:size].hex(' ')} …"


def _header_hint(field: str, value: object, frame: bytes) -> str:
    if field in WHERE:
        return f"it is {WHERE[field]}"
    short = frame[1] & 0x7F
    size = {126: 2, 127: 8}.get(short, 0)
    if value == frame[1] and frame[1] > 127:
        return "the bit on the left of the second byte says masked, it is not length: `& 0b01111111`"
    if value == short:
        return f"{short} says that the next {size} bytes hold the length"
    if value == int.from_bytes(frame[2 : 2 + size], "little"):
        return 'the most significant byte comes first: `int.from_bytes(…, "big")`'
    return f"the length is in {'the second byte' if size == 0 else f'bytes 2 to {1 + size}, counted from 0'}"


# exercise 3


@judged('without the token a client reads 401, with it "welcome"')
def check_refusal(app: Any) -> None:
    """Check an app that lets only ``/ws?token=sesame`` in, and answers HTTP 401 to everybody else."""
    if not hasattr(app, "routes"):
        raise NotYet(f"expected an app, got {shown(app)}; pass the FastAPI() object")
    if "/ws" not in {getattr(route, "path", None) for route in app.routes}:
        raise NotYet("the app has no WebSocket route at /ws")
    with Trial(app) as trial:
        for path, who in STRANGERS:
            answer = _refusal(trial, path, who)
            if answer.status != 401:
                raise NotYet(f"{who} got HTTP {answer.status}, expected 401; {_refusal_hint(app, answer)}")
        try:
            client = trial.connect(f"/ws?token={TOKEN}")
        except NotYet as missing:
            raise NotYet(f"with ?token={TOKEN} {missing}") from None
        client.expect("welcome")


STRANGERS = (
    ("/ws", "a client without a token"),
    ("/ws?token=wrong", "a client with a wrong token"),
    (f"/ws?token=open-{TOKEN}", f"a client whose token only contains {TOKEN!r}"),
    (f"/ws?name={TOKEN}", f"a client with {TOKEN!r} in another parameter"),
)


def _refusal(trial: Trial, path: str, who: str) -> Answer:
    try:
        return trial.refusal(path)
    except NotYet as missing:
        if "was accepted" not in str(missing):
            raise
    with trial.connect(path) as client:
        try:
            message = client.receive()
        except NotYet:
            end = client.closed()
            said = f"was accepted and then closed with {end.code}; refuse before `accept()`, so that it is HTTP"
        else:
            said = f"was accepted and got {shown(message)}, expected HTTP 401"
    if who in (STRANGERS[2][1], STRANGERS[3][1]):
        said = 'was let in; compare the whole token: `websocket.query_params.get("token") == …`'
    raise NotYet(f"{who} {said}")


def _refusal_hint(app: Any, answer: Answer) -> str:
    if answer.status == 403 and not answer.body:
        handler = next(route for route in app.routes if getattr(route, "path", None) == "/ws").endpoint
        if any(one.default is one.empty for one in list(inspect.signature(handler).parameters.values())[1:]):
            return (
                "FastAPI refuses by itself, always with 403, when a parameter such as `token: str` is missing; "
                'give it a default, `token: str = ""`, and raise HTTPException(401, …) yourself'
            )
        if "WebSocketException" in handler.__code__.co_names:
            return (
                "WebSocketException stands for a close code, and before `accept()` there are no frames for one; "
                "raise HTTPException(401, …) instead"
            )
        return "`close()` before `accept()` always becomes an empty 403; raise HTTPException(401, …) instead"
    if answer.status == 403:
        return "403 says «not you»; 401 says «tell me who you are»"
    return "raise HTTPException(401, …) before `accept()`"
