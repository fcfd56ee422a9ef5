"""Whatever the routes and the socket accept can be read, by every way out, over every kind of log."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import threading
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from server.app.routes import LONGEST_WAIT
from server.client import Client
from server.messages import ChatMessage, Notification
from tests.server.app.test_routes import poll, reader, until
from tests.server.client.scripted import NO_LIMITS, client
from tests.server.people import DEADLINE, Chat, Person, chat
from tests.server.recipients import Device, pusher, written

REFUSALS = {400, 413, 422}
PATIENT = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
LIMITS = NO_LIMITS | {"push_burst": 100_000, "connections_per_user": 100, "devices_per_user": 100}

# what JSON has, written by hand: so that it holds what Python's own writer would refuse, or write otherwise
HALF = '"\\ud83d"'
STRANGE = [
    "NaN",
    "-Infinity",
    "1e999",
    "-1e-999",
    "-0",
    "-0.0",
    "1e15",
    "9" * 4_299,
    "9" * 4_301,
    HALF,
    f"{{{HALF}: 1}}",
]
SCALARS = st.one_of(
    st.sampled_from(STRANGE),
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(json.dumps),
    st.text().map(json.dumps),
    st.sampled_from(["null", "true", "false"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: f"[{','.join(items)}]"),
        st.dictionaries(st.text().map(json.dumps), inner, max_size=4).map(
            lambda fields: "{" + ",".join(f"{name}:{value}" for name, value in fields.items()) + "}"
        ),
    ),
    max_leaves=10,
)


@st.composite
def nested(draw: st.DrawFn) -> str:
    """Draw a value inside nested lists or objects."""
    depth, (left, right) = draw(st.integers(0, 300)), draw(st.sampled_from([("[", "]"), ('{"a":', "}")]))
    return left * depth + draw(SCALARS) + right * depth


TEXTS = st.one_of(st.text(min_size=1, max_size=40).map(json.dumps), st.sampled_from([HALF, '"\\u0000"', '"\\u2028"']))
PUSHES = st.builds(
    lambda kind, text, data: f'{{"kind":{kind},"text":{text},"data":{data}}}', TEXTS, TEXTS, st.one_of(VALUES, nested())
)
SAYS = st.builds(
    lambda text, name, key: f'{{"type":"say","room":"lobby","text":{text},"id":{name}{key}}}',
    TEXTS,
    st.one_of(st.integers().map(str), TEXTS, st.sampled_from(["9" * 4_299, "9" * 4_301, "[[1]]", "null"])),
    st.one_of(st.just(""), TEXTS.map(lambda key: f',"key":{key}')),
)


def content(notification: dict[str, Any]) -> list[Any]:
    """What its sender has said in it."""
    return [notification["kind"], notification["text"], notification.get("data")]


def long_polled(room: Chat, user: str, after: dict[str, Any], then: Any) -> list[dict[str, Any]]:
    """What a long poll brings that waited while `then` ran."""
    pages: list[dict[str, Any]] = []

    def wait() -> None:
        with reader(room, user) as http:
            pages.append(poll(http, after=written(after), wait=LONGEST_WAIT))

    job = threading.Thread(target=wait)
    job.start()
    until(room, 1)
    then()
    job.join(DEADLINE)
    return [found for page in pages for found in page["notifications"]]


def streamed(http: httpx.Client, count: int) -> list[dict[str, Any]]:
    """Read the newest notifications as events."""
    received = b""
    with http.stream("GET", "/notifications/stream", params={"last": count}) as answer:
        for data in answer.iter_bytes():  # httpx's own lines end at characters that are no ends of lines in a stream
            received += data
            events = [
                event.split(b"data: ", 1)[1].split(b"\n")[0]
                for event in received.split(b"\n\n")[:-1]
                if b"data: " in event
            ]
            if len(events) > count:  # the first is the state of the inbox
                break
    return [json.loads(event) for event in events[1:]]


async def by_client(room: Chat, user: str, count: int) -> list[dict[str, Any]]:
    """Read the newest notifications with the Python client."""
    found: list[dict[str, Any]] = []
    ana: Client
    async with client(room.server, user) as ana:
        async for item in ana.inbox(last=count):
            assert isinstance(item, Notification)
            found.append(item.model_dump(mode="json"))
            if len(found) == count:
                break
    return found


def test_every_accepted_notification_can_be_read_in_every_way(log_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """As it was sent; and what is refused is refused by name, and leaves the inbox as it was."""
    users = (f"user{number}" for number in itertools.count())
    with chat(broker=log_url, **LIMITS) as room, pusher(room.server) as shop:

        @PATIENT
        @given(body=PUSHES)
        @example(body='{"kind":"k","text":"t","data":' + "[" * 200 + "]" * 200 + "}")
        @example(body='{"kind":"k","text":"t","data":' + "[" * 252 + "]" * 252 + "}")
        @example(body='{"kind":"k","text":"t","data":' + '{"a":' * 50 + "1" + "}" * 50 + "}")
        @example(body='{"kind":"k","text":"t","data":' + "9" * 4_299 + "}")
        @example(body='{"kind":"k","text":"t","data":[' + "1e15," * 3_000 + "1]}")
        def check(body: str) -> None:
            user = next(users)

            def push(text: str) -> int:
                headers = {"Content-Type": "application/json"}
                return shop.post(f"/users/{user}/notifications", content=text, headers=headers).status_code

            with reader(room, user) as http, Device(room.server, user) as device:
                start = device.watch()["position"]
                statuses: list[int] = []

                def push_both() -> None:
                    statuses.extend([push(body), push('{"kind":"k","text":"end"}')])

                bell = long_polled(room, user, start, push_both)
                assert statuses[1] == 202
                assert statuses[0] in {202, *REFUSALS}
                sent = [json.loads(body)] if statuses[0] == 202 else []
                expected = [content(one) for one in [*sent, {"kind": "k", "text": "end"}]]
                count = len(expected)
                heard = [device.receive("notification") for _ in expected]
                device.watch(last=count)
                again = [device.receive("notification") for _ in expected]
                page = poll(http, after=written(start))
                ways = [bell[:1], heard, again, page["notifications"], streamed(http, count)]
                ways.append(asyncio.run(by_client(room, user, count)))
                assert [list(map(content, way)) for way in ways] == [expected[:1], *[expected] * 5]
                assert (page["complete"], page["unread"]) == (True, count)

        check()
        assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def read_room(room: Chat, count: int) -> list[dict[str, Any]]:
    """Read the newest messages of the lobby with the Python client."""
    found: list[dict[str, Any]] = []
    async with client(room.server, "cleo") as cleo:
        async for item in cleo.room("lobby", last=count):
            assert isinstance(item, ChatMessage)
            found.append(item.model_dump(mode="json"))
            if len(found) == count:
                break
    return found


def test_every_accepted_message_can_be_read_in_every_way(log_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """To who is there, to who comes later, to who comes back with a position, and to the Python client."""
    with chat(broker=log_url, **LIMITS) as room, Person(room.server, "ana") as ana, Person(room.server, "ben") as ben:

        @PATIENT
        @given(words=SAYS)
        @example(words='{"type":"say","room":"lobby","text":"t","id":' + "9" * 4_299 + "}")
        @example(words='{"type":"say","room":"lobby","text":"' + "\\u0001" * 2_000 + '"}')
        def check(words: str) -> None:
            ana.socket.send(words)
            answer = ana.next()
            while answer["type"] not in ("message", "error", "stored"):
                answer = ana.next()
            if answer["type"] == "error":
                assert answer.get("field") or answer["expected"].startswith(("JSON", "finite"))
            if answer["type"] != "message":
                return
            assert answer["text"] == json.loads(words)["text"]
            assert ben.receive("message") == answer
            position = answer["position"]
            before = position | {"offset": position["offset"] - 1}
            for wish in ({"last": 1}, {"after": before}):
                with Person(room.server, "cleo", room=None) as cleo:
                    cleo.send(type="join", room="lobby", **wish)
                    assert cleo.receive("joined")["complete"]
                    assert cleo.receive("message") == answer
            [read] = asyncio.run(read_room(room, 1))
            assert (read["text"], read["id"]) == (answer["text"], answer.get("id"))

        check()
        assert ana.answers()
        assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_the_largest_page_can_be_read_in_every_way(log_url: str) -> None:
    """A hundred notifications, each as large as one may be, are more than waits for one connection at a time."""
    with (
        chat(broker=log_url, **LIMITS) as room,
        pusher(room.server) as shop,
        reader(room, "ana") as http,
        Device(room.server, "ana") as device,
    ):
        data = [1e15] * 3_000  # takes more room in the log than it took on its way
        for number in range(100):
            answer = shop.post("/users/ana/notifications", json={"kind": "k", "text": str(number), "data": data})
            assert answer.status_code in (202, 413), answer.text
            if answer.status_code == 413:
                data = [1e15] * (len(data) // 2)
        count = len(poll(http, last=100)["notifications"])
        assert count > 90
        device.watch(last=count)
        assert [device.receive("notification")["data"] for _ in range(count)][-1] == data
        assert len(streamed(http, count)) == count
        assert len(asyncio.run(by_client(room, "ana", count))) == count
