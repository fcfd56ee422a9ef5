"""Tokens and tickets that are forged, replayed, expired, somebody else's, or no tokens at all."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import jwt
import pytest

from server.access.tokens import Session, Tickets

from .beside import beside
from .target import KEY, Target

HOUR = int(time.time()) + 3_600
GOOD: dict[str, Any] = {"sub": "ana", "exp": HOUR, "aud": "chat"}


def part(value: object) -> str:
    """A part of a token, from JSON or from bytes."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(header: object, claims: object, *, key: str = KEY) -> str:
    """A token whose signature is right, whatever it says."""
    body = f"{part(header)}.{part(claims)}"
    return f"{body}.{part(hmac.new(key.encode(), body.encode(), hashlib.sha256).digest())}"


HS256 = {"alg": "HS256", "typ": "JWT"}
FORGED = {
    "dots": "..",
    "alg none": f"{part({'alg': 'none'})}.{part(GOOD)}.",
    "alg None": f"{part({'alg': 'None'})}.{part(GOOD)}.",
    "no alg": signed({}, GOOD),
    "alg none, signed": signed({"alg": "none"}, GOOD),
    "another algorithm": jwt.encode(GOOD, KEY * 2, algorithm="HS512"),
    "an algorithm of public keys": signed({"alg": "RS256"}, GOOD),
    "a list of algorithms": signed({"alg": ["HS256"]}, GOOD),
    "another key": jwt.encode(GOOD, KEY[::-1], algorithm="HS256"),
    "an empty key": signed(HS256, GOOD, key=""),
    "a key from the header": signed(HS256 | {"jwk": {"kty": "oct", "k": part(b"x")}}, GOOD, key="x"),
    "a path as kid": signed(HS256 | {"kid": "../../dev/null"}, GOOD, key=""),
    "no signature": jwt.encode(GOOD, KEY, algorithm="HS256").rpartition(".")[0] + ".",
    "half a signature": jwt.encode(GOOD, KEY, algorithm="HS256")[:-10],
    "other claims": f"{part(HS256)}.{part(GOOD | {'sub': 'root'})}.{jwt.encode(GOOD, KEY).rpartition('.')[2]}",
    "expired": signed(HS256, GOOD | {"exp": int(time.time()) - 1}),
    "no end": signed(HS256, {"sub": "ana", "aud": "chat"}),
    "a word as end": signed(HS256, GOOD | {"exp": "never"}),
    "no user": signed(HS256, {"exp": HOUR, "aud": "chat"}),
    "a number as user": signed(HS256, GOOD | {"sub": 7}),
    "an empty user": signed(HS256, GOOD | {"sub": ""}),
    "half a character as user": signed(HS256, b'{"sub":"\\ud800","exp":%d,"aud":"chat"}' % HOUR),
    "for something else": signed(HS256, GOOD | {"aud": "mail"}),
    "for nothing": signed(HS256, {"sub": "ana", "exp": HOUR}),
    "not yet": signed(HS256, GOOD | {"nbf": HOUR}),
    "a critical extension": signed(HS256 | {"crit": ["b64"], "b64": False}, GOOD),
    "claims that are a list": signed(HS256, [GOOD]),
    "deep claims": f"{part(b'[' * 40_000)}.{part(GOOD)}.AA",
    "a long number": f"{part(b'1' * 5_000)}.{part(GOOD)}.AA",
    "no base64": "!!!.???.***",
    "three parts of nothing": f"{part(b'')}.{part(b'')}.{part(b'')}",
}


@pytest.mark.parametrize("token", FORGED.values(), ids=FORGED)
def test_a_forged_token_opens_nothing(target: Target, token: str) -> None:
    """Neither the WebSocket nor any route, by header, cookie or address; 401 or 4001, and no failure in the log."""
    failures = target.log.count("Traceback")
    origin = f"http://127.0.0.1:{target.port}"
    assert target.answer(target.request(None, f"Authorization: Bearer {token}")).split(b" ")[1] in (b"400", b"401")
    for request in (
        target.request(None, f"Cookie: chat_session={token}", f"Origin: {origin}"),
        target.request(None, f"Origin: {origin}", path=f"/ws?ticket={token[:8_000]}"),
    ):
        answer = target.answer(request)
        assert b"\x0f\xa1" in answer or answer.startswith(b"HTTP/1.1 400 "), answer  # 4001
        assert b"welcome" not in answer
    for header in (f"Authorization: Bearer {token}", f"Origin: {origin}\r\nCookie: chat_session={token}"):
        post = f"POST /ticket HTTP/1.1\r\nHost: 127.0.0.1:{target.port}\r\nConnection: close\r\n{header}\r\n\r\n"
        assert target.answer(post.encode()).startswith(b"HTTP/1.1 401 ")
    assert target.log.count("Traceback") == failures


def test_a_ticket_in_a_header_is_no_session(target: Target) -> None:
    """What stands in an address for a moment proves nothing for hours."""
    ticket = Tickets(key=KEY).issue(Session(user="ana", expires=HOUR))
    assert target.answer(target.request(None, f"Authorization: Bearer {ticket}")).startswith(b"HTTP/1.1 401 ")


def test_a_session_in_the_address_is_no_ticket(target: Target) -> None:
    """Addresses end up in logs, so what is good for hours is refused there."""
    answer = target.answer(target.request(None, path=f"/ws?ticket={target.token('ana')}"))
    assert answer.startswith(b"HTTP/1.1 401 ")


def test_a_ticket_is_good_once_also_for_many_at_once(target: Target) -> None:
    """Fifty connections race with one ticket: one gets in, and later nobody."""
    with beside(target):
        headers = {"Authorization": f"Bearer {target.token('ana')}"}
        issued = httpx.post(f"http://127.0.0.1:{target.port}/ticket", headers=headers, trust_env=False).json()
        request = target.request(None, path=f"/ws?ticket={issued['ticket']}")
        with ThreadPoolExecutor(10) as threads:
            answers = list(threads.map(target.answer, [request] * 50))
        assert sorted(answer.split(b" ")[1] for answer in answers) == [b"101"] + [b"401"] * 49
        assert target.answer(request).startswith(b"HTTP/1.1 401 ")


def test_a_ticket_says_whose_it_is(target: Target) -> None:
    """Somebody else's cookie beside it, or a name in the address, changes nothing: the ticket's user is welcomed."""
    origin = f"http://127.0.0.1:{target.port}"
    ticket = Tickets(key=KEY).issue(Session(user="ben", expires=HOUR))
    cookie = f"Cookie: chat_session={target.token('ana')}"
    path = f"/ws?ticket={ticket}&user=root&device=x"
    answer = target.answer(target.request(None, cookie, f"Origin: {origin}", path=path))
    assert b'"user":"ben"' in answer
    assert b"ana" not in answer


def test_an_expired_ticket_is_refused(target: Target) -> None:
    """Also with the right signature."""
    ticket = signed(HS256, {"sub": "ana", "exp": int(time.time()) - 1, "aud": "chat-ticket", "jti": "a", "until": HOUR})
    assert target.answer(target.request(None, path=f"/ws?ticket={ticket}")).startswith(b"HTTP/1.1 401 ")


def test_a_users_token_cannot_notify(target: Target) -> None:
    """Pushing takes a scope, and a cookie never has one."""
    url = f"http://127.0.0.1:{target.port}/users/ana/notifications"
    push = {"kind": "order", "text": "pay here"}
    for scope, status in (("", 403), ("pushing", 403), ("push", 202), ("read push", 202)):
        headers = {"Authorization": f"Bearer {target.token('eve', scope=scope)}"}
        assert httpx.post(url, json=push, headers=headers, trust_env=False).status_code == status
    cookie = {"Cookie": f"chat_session={target.token('eve', scope='push')}"}
    assert httpx.post(url, json=push, headers=cookie, trust_env=False).status_code == 401
