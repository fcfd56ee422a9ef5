"""Too many of everything that is allowed: connections, rooms, notifications, long polls."""

from __future__ import annotations

import json
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from server.messages import CloseCode

from .beside import beside
from .frames import close_code
from .target import DEADLINE, Target, read_all, until


@pytest.fixture(scope="module")
def small() -> Iterator[Target]:
    """A server with small limits, so that a small crowd exceeds them."""
    limits: dict[str, Any] = {
        "connections": 40,
        "connections_per_user": 10,
        "rooms_per_connection": 20,
        "push_burst": 30,
    }
    with Target(
        **limits, pushes_per_second=0.001, messages_per_second=1e6, message_burst=1_000_000, joins_per_second=1e6
    ) as target:
        yield target


def test_a_user_with_many_connections_loses_the_oldest(small: Target) -> None:
    """4004 for each one too many; the newest ten stay, even if the old ones never read their close frame."""
    with beside(small), ExitStack() as stack:
        crowd = [stack.enter_context(small.upgraded("eve")) for _ in range(30)]
        for raw in crowd[:20]:
            received = b""
            while (code := close_code(received)) == CloseCode.ABNORMAL:
                received += (data := raw.recv(65_536))
                assert data
            assert code == CloseCode.REPLACED
        for raw in crowd[20:]:
            raw.settimeout(0.02)
            assert close_code(read_all(raw)) == CloseCode.ABNORMAL  # nothing has been said


def test_beyond_the_limit_newcomers_are_refused(small: Target) -> None:
    """503 for a program, 1013 for a page; those who are in stay, and there is room again when one leaves."""
    with beside(small), ExitStack() as stack:
        crowd = [stack.enter_context(small.client(f"user {number}")) for number in range(38)]
        for _ in range(5):
            with pytest.raises(InvalidStatus) as refused:
                small.client("late").__enter__()
            assert refused.value.response.status_code == 503
        page = small.answer(small.request("late", f"Origin: http://127.0.0.1:{small.port}"))
        assert close_code(page.partition(b"\r\n\r\n")[2]) == CloseCode.TRY_AGAIN_LATER
        crowd.pop().close()
        assert until(lambda: _gets_in(small))


def _gets_in(target: Target) -> bool:
    try:
        with target.client("late"):
            return True
    except InvalidStatus:
        return False


def test_thousands_of_rooms_for_one_client(small: Target) -> None:
    """At most so many at once, and none that was left costs anything."""
    with beside(small, memory=16 << 20), small.client("tourist") as client:
        for number in range(3_000):
            client.send(json.dumps({"type": "join", "room": f"room-{number}", "id": number}))
            if number >= 500:
                client.send(json.dumps({"type": "leave", "room": f"room-{number - 500}"}))
        answers: Counter[str] = Counter()
        while answers["error"] + answers["joined"] < 3_000:
            message = json.loads(client.recv(timeout=DEADLINE))
            answers[message["type"]] += 1
            assert message["type"] != "error" or "at most 20 rooms" in message["expected"]
        assert answers["joined"] >= 20
        assert rooms(small) <= 21  # one is the honest pair's
    assert until(lambda: rooms(small) == 0)


def rooms(target: Target) -> int:
    """How many rooms it holds."""
    metrics = httpx.get(f"http://127.0.0.1:{target.port}/metrics", trust_env=False).text
    return int(float(next(line.split()[1] for line in metrics.splitlines() if line.startswith("chat_rooms "))))


def test_a_flood_of_notifications_is_answered_with_429(small: Target) -> None:
    """The holder of a token gets its burst and no more, whomever it pushes to."""
    headers = {"Authorization": f"Bearer {small.token('shop', scope='push')}", "Connection": "close"}
    with beside(small), httpx.Client(trust_env=False, headers=headers) as client:
        statuses: Counter[int] = Counter()
        for number in range(60):
            url = f"http://127.0.0.1:{small.port}/users/user-{number}/notifications"
            statuses[client.post(url, json={"kind": "k", "text": "x" * 2_000}).status_code] += 1
        assert set(statuses) == {202, 429}
        assert 30 <= statuses[202] <= 35


def test_long_polls_are_counted_like_connections(small: Target) -> None:
    """Ten for each user, whose oldest have to end, and forty in all; the others are refused at once."""
    with beside(small), ExitStack() as stack:
        names = [f"user {number % 3}" for number in range(60)] + [f"newcomer {number}" for number in range(40)]
        polls = [stack.enter_context(polling(small, name)) for name in names]
        statuses: Counter[bytes] = Counter()

        def all_told() -> bool:
            for raw in list(polls):
                raw.settimeout(0.01)
                try:
                    statuses[raw.recv(4_096).split(b" ")[1]] += 1
                except TimeoutError:
                    continue
                polls.remove(raw)
            return len(polls) == 40

        assert until(all_told)
        assert set(statuses) == {b"200", b"503"}


@contextmanager
def polling(target: Target, name: str) -> Iterator[socket.socket]:
    """A client that waits for its notifications."""
    with target.raw() as raw:
        head = f"Host: x\r\nAuthorization: Bearer {target.token(name)}\r\nConnection: close\r\n\r\n"
        raw.sendall(f"GET /notifications?wait=30 HTTP/1.1\r\n{head}".encode())
        yield raw


def test_a_body_without_an_end_is_not_kept(target: Target) -> None:
    """64 MiB for each route that reads a body are refused long before they are held."""
    push = f"Authorization: Bearer {target.token('eve', scope='push')}\r\n"
    routes = [("/users/ana/notifications", push), ("/notifications/read", push), ("/ticket", push)]
    with beside(target, memory=8 << 20):
        for route, header in routes:
            with target.raw() as raw:
                head = f"POST {route} HTTP/1.1\r\nHost: x\r\n{header}Content-Type: application/json\r\n"
                raw.sendall(f"{head}Content-Length: {1 << 26}\r\n\r\n".encode())
                try:
                    for _ in range(1 << 10):
                        raw.sendall(b"[" * (1 << 16))
                except OSError:
                    pass


def test_a_login_without_an_end_is_not_kept(target: Target) -> None:
    """The one route that asks for no token reads a body as well."""
    with beside(target, memory=8 << 20), target.raw() as raw:
        raw.sendall(
            b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 67108864\r\n\r\n"
        )
        assert b" 413 " in raw.recv(1 << 12).partition(b"\r\n")[0]
        try:
            for _ in range(1 << 10):
                raw.sendall(b"[" * (1 << 16))
        except OSError:
            return
        pytest.fail("all of it was read")


def test_a_replaced_connection_ends_for_a_client_that_reads(small: Target) -> None:
    """It gets the reason, so that it does not reconnect by itself."""
    with beside(small), ExitStack() as stack:
        first = stack.enter_context(small.client("kim"))
        for _ in range(10):
            stack.enter_context(small.client("kim"))
        with pytest.raises(ConnectionClosed) as closed:
            list(first)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == CloseCode.REPLACED
