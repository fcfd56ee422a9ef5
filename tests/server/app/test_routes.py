"""The inbox over HTTP: polls, long polls and server-sent events agree, and waiting requests block nothing."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from server.app.routes import LONGEST_WAIT
from tests.server.people import DEADLINE, Chat, chat
from tests.server.recipients import Device, bearer, push, pusher, written


def reader(room: Chat, user: str, **options: Any) -> httpx.Client:
    """A program of a user."""
    return httpx.Client(base_url=room.server.http(), headers=bearer(user), trust_env=False, timeout=DEADLINE, **options)


def poll(client: httpx.Client, **query: Any) -> dict[str, Any]:
    """One poll."""
    answer = client.get("/notifications", params=query)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


def texts(page: dict[str, Any]) -> list[str]:
    """What the notifications of a page say."""
    return [news["text"] for news in page["notifications"]]


def raw(room: Chat, path: str, *, buffer: int = 65_536) -> socket.socket:
    """A client of Ana's that has sent a request and reads nothing; its system takes little for it."""
    client = socket.socket()
    client.settimeout(DEADLINE)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    client.connect(("127.0.0.1", room.server.port))
    head = f"Host: localhost\r\nAuthorization: {bearer('ana')['Authorization']}\r\n\r\n"
    client.sendall(f"GET {path} HTTP/1.1\r\n{head}".encode())
    return client


class Events:
    """What an event stream brings."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.iter_lines()

    def next(self) -> dict[str, str]:
        """The fields of the next event that has data."""
        fields: dict[str, str] = {}
        for line in self._lines:
            name, _, value = line.partition(": ")
            fields[name] = value
            if not line and "data" in fields:
                return {name: value for name, value in fields.items() if name}
            fields = fields if line else {}
        raise EOFError

    def message(self, type: str) -> dict[str, Any]:  # noqa: A002
        """The message in the next event, which is of this type."""
        event = self.next()
        assert event["event"] == type, event
        message: dict[str, Any] = json.loads(event["data"])
        return message


@contextmanager
def stream(client: httpx.Client, **headers: str) -> Iterator[Events]:
    """An open event stream."""
    with client.stream("GET", "/notifications/stream", headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        yield Events(answer)


def until(room: Chat, count: int) -> None:
    """Wait until this many requests are waiting for news."""
    app: Any = room.hall.app
    end = time.monotonic() + DEADLINE
    while len(app.state.waiting) != count:
        assert time.monotonic() < end
        time.sleep(0.001)


@contextmanager
def waiting(room: Chat, user: str, *, others: int = 0) -> Iterator[list[dict[str, Any]]]:
    """A long poll that is under way in the block; its answer is there after it."""
    answers: list[dict[str, Any]] = []

    def wait() -> None:
        with reader(room, user) as client:
            answers.append(poll(client, wait=LONGEST_WAIT))

    job = threading.Thread(target=wait)
    job.start()
    until(room, others + 1)
    try:
        yield answers
    finally:
        job.join(DEADLINE)
        assert not job.is_alive()


def test_a_poll_returns_what_came_after_a_position(log_url: str) -> None:
    """In order, with how much is unread, and where to go on."""
    with chat(broker=log_url) as room, pusher(room.server) as shop, reader(room, "ana") as ana:
        empty = poll(ana)
        assert (empty["notifications"], empty["unread"], empty["read"], empty["complete"]) == ([], 0, None, True)
        positions = [push(shop, "ana", text=str(number), data={"n": number}) for number in range(3)]
        page = poll(ana, after=written(empty["position"]))
        assert texts(page) == ["0", "1", "2"]
        assert page["notifications"][2]["data"] == {"n": 2}
        assert (page["position"], page["newest"], page["unread"]) == (positions[2], positions[2], 3)
        assert texts(poll(ana, after=written(page["position"]))) == []
        assert texts(poll(ana, last=2)) == ["1", "2"]


def test_a_long_inbox_is_polled_page_by_page() -> None:
    """A hundred at a time, each once, until there are none."""
    with chat() as room, pusher(room.server) as shop, reader(room, "ana") as ana:
        after = poll(ana)["position"]
        for number in range(250):
            push(shop, "ana", text=str(number))
        heard: list[str] = []
        while (page := poll(ana, after=written(after)))["notifications"]:
            assert page["unread"] == 250
            heard += texts(page)
            after = page["position"]
        assert heard == [str(number) for number in range(250)]


def test_an_expired_position_gets_what_is_still_stored(log_url: str) -> None:
    """And the word that something is missing; the same for a position that was guessed."""
    with (
        chat(broker=log_url, inbox_notifications=2) as room,
        pusher(room.server) as shop,
        reader(room, "ana") as ana,
    ):
        positions = [push(shop, "ana", text=str(number)) for number in range(4)]
        for after in (positions[0], {"epoch": "guessed", "offset": 4}, positions[3] | {"offset": 99}):
            page = poll(ana, after=written(after), wait=5)
            assert (texts(page), page["complete"], page["unread"]) == (["2", "3"], False, 2)


def test_a_long_poll_answers_as_soon_as_there_is_something(log_url: str) -> None:
    """Or, at the end of its wait, that there is nothing."""
    with chat(broker=log_url) as room, pusher(room.server) as shop, reader(room, "ana") as ana:
        assert texts(poll(ana, wait=0.01)) == []
        with waiting(room, "ana") as answers:
            push(shop, "ben", text="not for ana")
            position = push(shop, "ana", text="news")
        assert (texts(answers[0]), answers[0]["position"]) == (["news"], position)


def test_what_is_read_over_http_is_read_on_all_devices(log_url: str) -> None:
    """The same inbox, whichever way it is looked at."""
    with (
        chat(broker=log_url) as room,
        pusher(room.server) as shop,
        reader(room, "ana") as ana,
        Device(room.server, "ana") as phone,
    ):
        positions = [push(shop, "ana") for _ in range(3)]
        assert phone.watch()["unread"] == 3
        answer = ana.post("/notifications/read", json={"position": positions[1]})
        assert answer.json() == {"read": positions[1], "unread": 1, "newest": positions[2]}
        assert phone.next() == {"type": "read", "position": positions[1], "unread": 1, "newest": positions[2]}
        phone.ack(positions[2])
        phone.receive("read")
        assert (poll(ana)["unread"], poll(ana)["read"]) == (0, positions[2])
        guess = ana.post("/notifications/read", json={"position": positions[2] | {"offset": 4}})
        assert (guess.status_code, guess.json()["detail"]) == (
            422,
            "position: expected a position from a message of this inbox",
        )


def test_a_stream_has_the_same_messages_as_a_device(log_url: str) -> None:
    """Each message is an event of its type; those to resume from carry an id."""
    with (
        chat(broker=log_url) as room,
        pusher(room.server) as shop,
        reader(room, "ana") as ana,
        stream(ana) as events,
    ):
        assert events.answer.headers["content-type"].startswith("text/event-stream")
        assert events.answer.headers["cache-control"] == "no-cache"
        opened = events.next()
        assert (opened["event"], opened["id"]) == ("inbox", written(json.loads(opened["data"])["position"]))
        position = push(shop, "ana", text="line one\nline two\r")
        event = events.next()
        assert (event["event"], event["id"]) == ("notification", written(position))
        assert json.loads(event["data"])["text"] == "line one\nline two\r"
        with reader(room, "ana") as phone:
            phone.post("/notifications/read", json={"position": position})
        event = events.next()
        assert (event["event"], "id" in event) == ("read", False)


def test_a_stream_resumes_after_the_last_event_id(log_url: str) -> None:
    """A browser sends it by itself when it comes back: nothing is missed, nothing comes twice."""
    with chat(broker=log_url) as room, pusher(room.server) as shop, reader(room, "ana") as ana:
        with stream(ana) as events:
            events.message("inbox")
            push(shop, "ana", text="one")
            seen = events.next()["id"]
        for text in ("two", "three"):
            push(shop, "ana", text=text)
        with stream(ana, **{"Last-Event-ID": seen}) as events:
            assert events.message("inbox")["unread"] == 3
            assert [events.message("notification")["text"] for _ in range(2)] == ["two", "three"]
            push(shop, "ana", text="four")
            assert events.message("notification")["text"] == "four"


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ({"after": "no-colon"}, {}),
        ({"after": "epoch:-1"}, {}),
        ({"after": "epoch:" + 16 * "9"}, {}),
        ({"after": 65 * "e" + ":1"}, {}),
        ({"after": ":1"}, {}),
        ({"last": 101}, {}),
        ({"last": -1}, {}),
        ({}, {"Last-Event-ID": "no-colon"}),
    ],
)
def test_an_invalid_position_is_refused(query: dict[str, Any], headers: dict[str, str]) -> None:
    """With 422 and the name of the field."""
    with chat() as room, reader(room, "ana") as ana:
        answer = ana.get("/notifications/stream", params=query, headers=headers)
        assert answer.status_code == 422
        assert next(iter(query or ["last-event-id"])) in str(answer.json()["detail"][0]["loc"])


@pytest.mark.parametrize("farewell", ["close", "reset"])
@pytest.mark.parametrize("path", ["/notifications?wait=30", "/notifications/stream"])
def test_a_client_that_leaves_while_it_waits_leaves_nothing_behind(path: str, farewell: str) -> None:
    """Its place is free at once, although nothing was sent to it in the meantime."""
    with chat() as room:
        client = raw(room, path)
        until(room, 1)
        if farewell == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        until(room, 0)


def test_a_server_that_stops_ends_every_wait() -> None:
    """A stream ends, a long poll is answered, and nothing is cut or cancelled."""
    with chat() as room, reader(room, "ana") as ana, stream(ana) as events:
        events.message("inbox")
        with waiting(room, "ben", others=1) as answers:
            room.server.stop()
        with pytest.raises(EOFError):  # an answer that was cut would raise another error
            events.next()
        assert answers[0]["notifications"] == []
        assert [record.getMessage() for record in room.server.log if record.levelname == "ERROR"] == []


def test_a_stream_whose_client_does_not_read_is_aborted() -> None:
    """It loses its connection and its place, and the others get everything."""
    with (
        chat(outbox_messages=8, send_seconds=0.2, push_burst=10_000) as room,
        pusher(room.server) as shop,
        Device(room.server, "ana") as ana,
        raw(room, "/notifications/stream", buffer=4_096),
    ):
        ana.watch()
        until(room, 1)
        app: Any = room.hall.app
        count = 0
        while len(app.state.waiting) and count < 5_000:
            push(shop, "ana", text=str(count), data=15_000 * "x")
            count += 1
        until(room, 0)
        assert ana.texts(count) == [str(number) for number in range(count)]


@pytest.mark.usefixtures("short_sessions")
def test_a_session_that_ends_ends_its_stream() -> None:
    """The browser reconnects by itself, and gets 401."""
    with (
        chat() as room,
        httpx.Client(base_url=room.server.http(), headers=bearer("ana"), trust_env=False) as ana,
    ):
        with stream(ana) as events:
            events.message("inbox")
            with pytest.raises(EOFError):
                events.next()
        expired = bearer("ana", seconds=-1)  # what the browser has by then
        assert ana.get("/notifications/stream", headers=expired).status_code == 401
