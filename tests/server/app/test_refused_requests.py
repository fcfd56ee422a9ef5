"""Requests to an inbox that must be refused: by another user, from another origin, or after the session has ended."""

from __future__ import annotations

import json
from typing import Any

import httpx
import jwt
import pytest

from server.access.auth import COOKIE
from server.access.tokens import Session, Tickets, issue_session
from tests.server.people import DEADLINE, KEY, Chat, chat
from tests.server.recipients import Device, bearer, push, pusher, written

CONTENT = {"kind": "order", "text": "shipped"}
INBOX = "/users/ana/notifications"
STRANGER = "http://evil.example"
READING = [("GET", "/notifications"), ("GET", "/notifications/stream"), ("POST", "/notifications/read")]
NOBODY = [
    {},
    bearer("ana", scope="push", seconds=-1),
    bearer("ana", scope="push", key="another secret of thirty-two characters"),
    {"Authorization": f"Bearer {jwt.encode({'sub': 'ana', 'aud': 'chat', 'exp': 2**40}, '', algorithm='none')}"},
    {"Authorization": f"Bearer {Tickets(key=KEY).issue(Session(user='ana', expires=2.0**40))}"},
    {"Authorization": "Bearer"},
    {"Authorization": "Basic YW5hOmFuYQ=="},
]


def ask(room: Chat, method: str, path: str, **options: Any) -> httpx.Response:
    """One request; of a stream only the beginning is read."""
    address = room.server.http(path)
    with (
        httpx.Client(trust_env=False, timeout=DEADLINE) as client,
        client.stream(method, address, **options) as answer,
    ):
        if not answer.headers["content-type"].startswith("text/event-stream"):
            answer.read()
        return answer


def unread(room: Chat, user: str = "ana") -> int:
    """How much is unread in an inbox."""
    count: int = ask(room, "GET", "/notifications", headers=bearer(user)).json()["unread"]
    return count


@pytest.mark.parametrize("headers", NOBODY)
@pytest.mark.parametrize(("method", "path"), [*READING, ("POST", INBOX)])
def test_a_request_without_a_token_gets_401(method: str, path: str, headers: dict[str, str]) -> None:
    """Nobody, an expired, a forged or an unsigned token, or a ticket, which is for a WebSocket: 401."""
    with chat() as room:
        answer = ask(room, method, path, headers=headers, json=CONTENT if method == "POST" else None)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert answer.json() == {"detail": "log in first"}
        assert unread(room) == 0


@pytest.mark.parametrize("name", ["ana", "ben", "push"])
@pytest.mark.parametrize("scope", ["", "pushy", "read", "PUSH"])
def test_a_user_may_not_push(name: str, scope: str) -> None:
    """Neither to another nor to itself, whatever it is called: that takes the scope, which gets 403 told."""
    with chat() as room:
        answer = ask(room, "POST", INBOX, headers=bearer(name, scope=scope), json=CONTENT)
        assert (answer.status_code, answer.json()["detail"]) == (403, "this needs a token with the scope 'push'")
        assert unread(room) == 0


def test_a_cookie_never_pushes() -> None:
    """A page of a program's operator must not be made to push by another page: 401."""
    with chat() as room:
        token = issue_session("shop", key=KEY, seconds=60, scope="push")
        answer = ask(room, "POST", INBOX, headers={"Cookie": f"{COOKIE}={token}"}, json=CONTENT)
        assert answer.status_code == 401


@pytest.mark.parametrize(
    "page",
    [{"Origin": STRANGER}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}],
)
@pytest.mark.parametrize(("method", "path"), [*READING, ("POST", INBOX)])
def test_a_page_of_another_origin_gets_nothing(method: str, path: str, page: dict[str, str]) -> None:
    """Though the browser adds Ana's cookie: 403, and for a token that the page found as well."""
    with chat() as room, pusher(room.server) as shop:
        position = push(shop, "ana")
        cookie = {"Cookie": f"{COOKIE}={issue_session('ana', key=KEY, seconds=60)}"}
        body = {"json": {"position": position} if path != INBOX else CONTENT} if method == "POST" else {}
        for credentials in (cookie, bearer("ana", scope="push")):
            answer = ask(room, method, path, headers=credentials | page, **body)
            assert answer.status_code == 403
            assert answer.json() == {"detail": "pages of this origin may not do this"}
        assert unread(room) == 1


@pytest.mark.parametrize("same", ["origin", "fetch", "program"])
@pytest.mark.parametrize(("method", "path"), READING)
def test_a_page_of_the_own_origin_gets_its_inbox(method: str, path: str, same: str) -> None:
    """With the cookie alone; a browser names the origin, or says that it is the same."""
    with chat() as room, pusher(room.server) as shop:
        body = {"json": {"position": push(shop, "ana")}} if method == "POST" else {}
        origin = room.server.http("").rstrip("/")
        page = {"origin": {"Origin": origin}, "fetch": {"Sec-Fetch-Site": "same-origin"}, "program": {}}[same]
        cookie = {"Cookie": f"{COOKIE}={issue_session('ana', key=KEY, seconds=60)}"}
        assert ask(room, method, path, headers=cookie | page, **body).status_code == 200


def test_another_user_learns_nothing_with_a_position_of_ana() -> None:
    """Ben gets his own inbox with it, and the word that it is not one of his; he cannot read for Ana."""
    with chat() as room, pusher(room.server) as shop, Device(room.server, "ben") as ben:
        position = push(shop, "ana", text="for ana only")
        for query in ({"after": written(position | {"offset": 0})}, {"last": 100}, {"user": "ana"}):
            page = ask(room, "GET", "/notifications", params=query, headers=bearer("ben")).json()
            assert (page["notifications"], page["unread"]) == ([], 0)
        body = {"position": position}
        assert ask(room, "POST", "/notifications/read", json=body, headers=bearer("ben")).status_code == 422
        inbox = ben.watch(after=position | {"offset": 0})
        assert (inbox["complete"], inbox["unread"]) == (False, 0)
        ben.ack(position)
        assert ben.next()["field"] == "position"
        assert ask(room, "GET", INBOX, headers=bearer("ben")).status_code == 404
        push(shop, "ana", text="for ana only")
        push(shop, "ben", text="for ben")
        assert ben.texts(1) == ["for ben"]
        assert unread(room) == 2


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"type": "watch", "user": "ana"}, "user"),
        ({"type": "watch", "inbox": "ana"}, "inbox"),
        ({"type": "ack", "user": "ana", "position": {"epoch": "e", "offset": 1}}, "user"),
        ({"type": "ack"}, "position"),
        ({"type": "notification", "kind": "order", "text": "forged"}, "type"),
        ({"type": "push", "user": "ana", "kind": "order", "text": "forged"}, "type"),
        ({"type": "join", "room": "inbox:ana"}, "room"),
        ({"type": "watch", "last": 101}, "last"),
    ],
)
def test_a_forged_message_gets_an_error(message: dict[str, Any], field: str) -> None:
    """There is no way to name another user over the WebSocket, or to push; the connection lives on."""
    with chat() as room, pusher(room.server) as shop, Device(room.server, "ben") as ben:
        push(shop, "ana")
        ben.send(**message)
        error = ben.next()
        assert (error["type"], error["field"]) == ("error", field)
        assert ben.watch()["unread"] == 0


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/users//notifications", 422),
        ("/users/ana/../ben/notifications", 202),  # a client resolves the dots; it is Ben's
        ("/users/a%2Fb/notifications", 202),
        ("/users/ben%2F..%2Fana/notifications", 422),
        ("/users/%00/notifications", 422),
        ("/users/%ED%A0%80/notifications", 202),
        ("/users/inbox:ana/notifications", 202),
        (f"/users/{191 * 'a'}/notifications", 422),
        (f"/users/{95 * '%C3%A4'}/notifications", 202),
        (f"/users/{96 * '%C3%A4'}/notifications", 422),
    ],
)
def test_a_forged_name_in_the_address_reaches_no_other_inbox(path: str, status: int) -> None:
    """Whatever stands there is a name like any other, or none; Ana gets nothing of it."""
    with chat() as room, pusher(room.server) as shop:
        assert shop.post(path, json=CONTENT).status_code == status
        assert unread(room) == 0


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        ({"text": ""}, 422, "text"),
        ({"text": 2_001 * "x"}, 422, "text"),
        ({"kind": 65 * "x"}, 422, "kind"),
        ({"key": 201 * "x"}, 422, "key"),
        ({"key": ""}, 422, "key"),
        ({"id": "mine"}, 422, "id"),
        ({"time": 0}, 422, "time"),
        ({"text": 7}, 422, "text"),
        ({"data": json.loads(51 * "[" + 51 * "]")}, 422, "nested at most 50 deep"),
        ({"data": 17_000 * "x"}, 413, "Content Too Large"),
    ],
)
def test_an_error_names_what_is_too_big_or_unknown(content: dict[str, Any], status: int, words: str) -> None:
    """And nothing is stored; the connection takes the next push."""
    with chat() as room, pusher(room.server) as shop:
        answer = shop.post(INBOX, json=CONTENT | content)
        assert (answer.status_code, words in answer.text) == (status, True), answer.text
        push(shop, "ana")
        assert unread(room) == 1


def test_a_body_without_a_length_is_measured_while_it_arrives() -> None:
    """A client that never stops sending gets 413 as soon as the body is too long."""
    with chat(message_bytes=1_000) as room, pusher(room.server) as shop:
        chunks = (100 * b" " for _ in range(10_000))
        try:
            answer = shop.post(INBOX, content=chunks, headers={"Content-Type": "application/json"})
            assert answer.status_code == 413
        except httpx.WriteError:
            pass  # the server has closed the connection while the client still sent
        assert unread(room) == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[1]",
        b"\xff",
        b'{"kind":"k","text":"\\ud800"}',
        b'{"kind":"k","text":"t","key":"\\udfff"}',
        b'{"kind":"k","text":"t","data":"\\ud800"}',
        b'{"kind":"k","text":"t","data":{"\\ud800":1}}',
        b'{"kind":"k","text":"t","data":NaN}',
        b'{"kind":"k","text":"t","data":[1e999]}',
        b'{"kind":"k","text":"t","data":' + 5_000 * b"[" + 5_000 * b"]" + b"}",
        b'{"kind":"k","text":"t","data":' + 5_000 * b"9" + b"}",
    ],
)
def test_a_body_that_is_not_a_notification_is_refused(body: bytes) -> None:
    """With 400 or 422, never a failure of the server; nothing is stored."""
    with chat() as room, pusher(room.server) as shop:
        answer = shop.post(INBOX, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422), answer.text
        assert unread(room) == 0


def test_a_program_that_pushes_too_often_has_to_wait() -> None:
    """429 and when to come back; another program is not held up, and what was refused is not stored."""
    with chat(push_burst=3, pushes_per_second=0.2) as room, pusher(room.server) as shop:
        answers = [shop.post(INBOX, json=CONTENT) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [202, 202, 202, 429, 429]
        assert answers[3].headers["retry-after"] == "5"
        assert answers[3].json()["detail"] == "more than 0.2 requests per second"
        other = ask(room, "POST", INBOX, headers=bearer("bank", scope="push"), json=CONTENT)
        assert other.status_code == 202
        assert unread(room) == 4


def test_a_user_who_polls_too_often_has_to_wait() -> None:
    """Polls and acknowledgements of one user are counted together; the WebSocket and other users are not."""
    with chat(message_burst=3, messages_per_second=0.5) as room, Device(room.server, "ana") as ana:
        statuses = [ask(room, "GET", "/notifications", headers=bearer("ana")).status_code for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
        answer = ask(room, "POST", "/notifications/read", headers=bearer("ana"), json={})
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
        assert ana.watch()["unread"] == 0
        assert unread(room, "ben") == 0


def test_one_waiting_request_too_many_in_total_is_refused() -> None:
    """One more stream or long poll gets 503 and Retry-After, unless it takes the place of its user's oldest."""
    path, wait = "/notifications/stream", {"wait": 1}
    with (
        chat(connections_per_user=1, connections=2) as room,
        httpx.Client(base_url=room.server.http(), trust_env=False) as client,
        client.stream("GET", path, headers=bearer("ana")),
        client.stream("GET", path, headers=bearer("ben")),
    ):
        for answer in (
            ask(room, "GET", path, headers=bearer("eve")),
            ask(room, "GET", "/notifications", params=wait, headers=bearer("eve")),
        ):
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert ask(room, "GET", "/notifications", params=wait, headers=bearer("ana")).status_code == 200
        assert unread(room) == 0


def test_a_message_that_is_too_big_or_one_too_many_ends_the_connection() -> None:
    """1009 and 4002, as for every message of the chat."""
    with chat(joins_per_second=0.1, connections_per_user=1, rooms_per_connection=2) as room:
        with Device(room.server, "ana") as ana:
            ana.socket.send(json.dumps({"type": "watch", "id": 17_000 * "x"}))
            assert ana.end()[0] == 1009
        with Device(room.server, "ben") as ben:
            for _ in range(4):
                ben.send(type="watch")
            assert ben.end()[0] == 4002


@pytest.mark.usefixtures("short_sessions")
def test_a_session_that_ends_ends_the_watch() -> None:
    """4001, though the device only listens; with the old token it does not come back."""
    with chat() as room, Device(room.server, "ana") as ana:
        ana.watch()
        assert ana.end()[0] == 4001
