"""Tricks with the request: headers twice, too many or too long, smuggled requests, and origins that look right."""

from __future__ import annotations

import pytest

from .beside import beside
from .target import SAMPLE_KEY, Target

KEY = f"Sec-WebSocket-Key: {SAMPLE_KEY}"
MANY = [f"X-{number}: 1" for number in range(200)]


@pytest.mark.parametrize(
    "headers",
    [
        [KEY],
        ["Host: evil.example"],
        ["Sec-WebSocket-Version: 13"],
        ["Content-Length: 5"],
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: -1"],
        ["Content-Length: 0x5"],
        ["Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 5"],
        ["Transfer-Encoding: xchunked"],
        ["Transfer-Encoding: chunked, identity"],
        [" folded: line"],
        ["Space : before the colon"],
        ["Nul: a\0b"],
        ["Lone: a\rb"],
        ["No colon"],
        [": no name"],
        MANY,
        [f"Long: {'a' * 9_000}"],
        [f"Longer: {'a' * 60_000}"],
    ],
    ids=lambda headers: headers[0][:22],
)
def test_a_handshake_that_is_none_is_answered_and_closed(target: Target, headers: list[str]) -> None:
    """With an error of HTTP; and what follows it is never taken for a request of its own."""
    smuggled = b"GET /healthz HTTP/1.1\r\nHost: smuggled\r\n\r\n"
    with beside(target):
        answer = target.answer(target.request("eve", *headers) + smuggled)
        assert answer.split(b" ")[1] in (b"400", b"401"), answer
        assert answer.count(b"HTTP/1.1 ") == 1


def test_a_request_behind_the_upgrade_is_no_request(target: Target) -> None:
    """After 101 there is no HTTP any more; a proxy that thinks otherwise gets nothing from here."""
    with beside(target):
        answer = target.answer(target.request("eve") + b"GET /healthz HTTP/1.1\r\nHost: smuggled\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101 ")
        assert b"200 OK" not in answer


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "*",
        "http://",
        "http://{host}.evil.example",
        "http://evil-{host}",
        "http://{host}@evil.example",
        "http://evil.example@{host}",
        "http://{host}/path",
        "http://{host}/",
        "http://{host}?",
        "http://{host}#",
        "https://{host}",
        "ws://{host}",
        "file://{host}",
        "http://127.0.0.1",
        "http://127.0.0.1:1",
        "http://127.0.0.1.:{port}",
        "http://127.1:{port}",
        "http://2130706433:{port}",
        "http://0x7f.1:{port}",
        "http://[::ffff:127.0.0.1]:{port}",
        "http://localhost:{port}",
        "http://allowed.example.evil.example",
        "http://evil.allowed.example",
        "http://notallowed.example",
        "http://allowed.example.",
        "http://allowed.example:81",
        "http://аllowed.example",  # noqa: RUF001  # a Cyrillic letter, as raw bytes
        "http://xn--llowed-4ve.example",
        "http://allowed.example%00.evil.example",
        "http://allowed.example, http://evil.example",
        "http://allowed.example http://evil.example",
        "http://allowed%2eexample",
        "javascript:alert(1)",
    ],
)
def test_an_origin_that_looks_right_is_wrong(patient: Target, origin: str) -> None:
    """Prefix, suffix, user part, port, other spellings of the address, look-alikes, lists: 4003, and no welcome."""
    host = f"127.0.0.1:{patient.port}"
    value = origin.format(host=host, port=patient.port)
    answer = patient.answer(patient.request("eve", f"Origin: {value}"))
    assert b"welcome" not in answer
    assert b"\x0f\xa3" in answer or answer.startswith(b"HTTP/1.1 403 "), answer  # 4003 in a close frame


@pytest.mark.parametrize(
    "origin",
    ["http://{host}", "HTTP://{host}", "http://allowed.example", "http://ALLOWED.example", "http://allowed.example:80"],
)
def test_an_origin_that_is_right_is_right_in_every_spelling(patient: Target, origin: str) -> None:
    """Scheme and host are the same in capitals, and port 80 is the one of http (RFC 6454, 4)."""
    value = origin.format(host=f"127.0.0.1:{patient.port}")
    with patient.upgraded("ana", f"Origin: {value}") as raw:
        assert b"welcome" in raw.recv(1_000)


def test_two_origins_are_none(patient: Target) -> None:
    """A proxy may look at the one and the server at the other."""
    own = f"Origin: http://127.0.0.1:{patient.port}"
    for headers in ([own, "Origin: http://evil.example"], ["Origin: http://evil.example", own]):
        assert b"welcome" not in patient.answer(patient.request("eve", *headers))
