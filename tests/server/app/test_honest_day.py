"""Every limit lets our own clients in on their worst honest day: a restart, sleep, thirty tabs, a class in one room.

`PROOFS` says for each limit in the settings which test shows that. The tests here are those that no other file has;
they use the default limits, and the constants of the page as they are in its files.
"""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from annotated_types import Gt
from lab.tap.tap import Tap
from pydantic import SecretStr
from websockets.frames import Opcode

import server.app
from server import serve
from server.app import create_app
from server.client import Backoff, Client, ConnectOptions
from server.messages.incoming import Say
from server.settings import Settings
from tests.server.counting import until
from tests.server.people import DEADLINE, KEY, Person, Silent, chat
from tests.server.recipients import bearer

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[3]
STATIC = Path(server.app.__file__).parent / "static"
TABS = 30
STREAM = "/notifications/stream"

HERE = "tests/server/app/test_honest_day.py"
RECONNECT = "tests/server/client/test_reconnect_limits.py"
REFUSED = "tests/server/app/test_refused_requests.py"
LIVENESS = "tests/browser/test_page_liveness.py"
ANSWERS = "tests/server/app/answers/test_answer_limits.py"
PROOFS = {
    "session_seconds": ("tests/browser/test_page.py", "test_a_session_that_ends_asks_to_log_in_again"),
    "ticket_seconds": (LIVENESS, "test_a_page_whose_ticket_has_expired_gets_another"),
    "logins_per_second": (RECONNECT, "test_clients_at_every_limit_are_let_in"),
    "login_burst": (HERE, "test_a_class_behind_one_address_logs_in_at_once"),
    "tickets_per_second": (LIVENESS, "test_a_page_that_waits_tries_at_once_when_it_is_shown"),
    "ticket_burst": (HERE, "test_every_tab_gets_a_ticket_twice_in_a_row"),
    "connections": (HERE, "test_a_server_that_is_full_of_dead_connections_lets_their_users_in"),
    "connections_per_user": (RECONNECT, "test_thirty_tabs_reconnect_after_sleep"),
    "devices_per_user": (RECONNECT, "test_clients_at_every_limit_are_let_in"),
    "history_messages": ("tests/server/client/test_subscription.py", "test_expired_messages_are_reported"),
    "history_seconds": ("tests/server/client/test_subscription.py", "test_expired_messages_are_reported"),
    "inbox_notifications": ("tests/server/app/test_routes.py", "test_an_expired_position_gets_what_is_still_stored"),
    "inbox_seconds": ("tests/server/app/test_routes.py", "test_an_expired_position_gets_what_is_still_stored"),
    "pushes_per_second": (REFUSED, "test_a_program_that_pushes_too_often_has_to_wait"),
    "push_burst": (REFUSED, "test_a_program_that_pushes_too_often_has_to_wait"),
    "message_bytes_per_day": ("tests/server/app/test_quota.py", "test_a_user_over_the_daily_limit_gets_an_error"),
    "pushed_bytes_per_day": (
        "tests/server/app/test_quota.py",
        "test_a_program_over_the_daily_limit_gets_429",
    ),
    "rooms_per_connection": (RECONNECT, "test_clients_at_every_limit_are_let_in"),
    "message_bytes": (HERE, "test_the_longest_message_of_our_clients_is_stored"),
    "message_frames": (HERE, "test_the_longest_message_of_our_clients_is_stored"),
    "messages_per_second": (HERE, "test_the_pings_of_all_tabs_are_fewer_than_a_user_may_send"),
    "message_burst": (HERE, "test_every_tab_of_a_user_may_ping_at_once"),
    "joins_per_second": (
        "tests/browser/test_page_throttle.py",
        "test_many_rooms_in_many_windows_come_back_after_a_restart",
    ),
    "answer_tokens": (ANSWERS, "test_the_longest_answer"),
    "answers_per_user": (ANSWERS, "test_answers_at_once"),
    "answer_tokens_per_day": (ANSWERS, "test_the_budget_of_a_user"),
    "answer_seconds": (ANSWERS, "test_an_answer_is_stored_for_a_while"),
    "answer_grace_seconds": (
        "tests/server/app/answers/test_answers.py",
        "test_a_lost_connection_is_resumed_without_asking_twice",
    ),
    "answer_silence_seconds": (
        "tests/server/app/answers/test_answer_processes.py",
        "test_readers_elsewhere_learn_that_the_model_is_gone",
    ),
    "outbox_messages": (HERE, "test_many_rooms_come_back_over_a_slow_path"),
    "outbox_bytes": ("tests/server/test_notifications.py", "test_an_inbox_far_longer_than_an_outbox_is_sent_whole"),
    "send_seconds": (
        "tests/server/client/test_client_inbox.py",
        "test_a_slow_device_is_disconnected_and_misses_nothing",
    ),
    "request_seconds": (HERE, "test_a_class_behind_one_address_logs_in_at_once"),
    "ping_seconds": (HERE, "test_a_server_that_is_full_of_dead_connections_lets_their_users_in"),
    "idle_seconds": (LIVENESS, "test_a_page_in_a_quiet_room_stays"),
}
"""For each limit the test that meets it as our own clients do."""


def constant(file: str, name: str) -> float:
    """Return a constant of the page, in seconds if it is in milliseconds."""
    found = re.search(rf"const {name} = ([\d_]+);(.*)", (STATIC / file).read_text(encoding="utf-8"))
    assert found, f"{file} has no {name}"
    value = float(found[1].replace("_", ""))
    return value / 1_000 if "milliseconds" in found[2] else value


def test_every_limit_has_its_proof() -> None:
    """A new limit needs a test that our own clients meet it."""
    limits = {
        name for name, field in Settings.model_fields.items() if any(isinstance(rule, Gt) for rule in field.metadata)
    }
    assert set(PROOFS) == limits


@pytest.mark.parametrize("limit", PROOFS)
def test_each_proof_exists(limit: str) -> None:
    """A test that was renamed or deleted proves nothing."""
    file, name = PROOFS[limit]
    assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), name


def test_every_tab_of_a_user_may_ping_at_once() -> None:
    """As after a short sleep, from which every tab wakes in the same moment."""
    with chat() as room:
        count = Settings(key=SecretStr(KEY)).connections_per_user
        tabs = [Person(room.server, "ana", room=None) for _ in range(count)]
        for number, tab in enumerate(tabs):
            tab.send(type="ping", id=number)
        assert [tab.receive("pong")["id"] for tab in tabs] == list(range(count))
        for tab in tabs:
            tab.socket.close()


def test_the_pings_of_all_tabs_are_fewer_than_a_user_may_send() -> None:
    """In quiet rooms each tab asks again and again whether the server is there."""
    settings = Settings(key=SecretStr(KEY))
    pings = settings.connections_per_user / constant("connection.js", "PING_AFTER")
    assert pings < settings.messages_per_second


def test_every_tab_gets_a_ticket_twice_in_a_row() -> None:
    """As when a server restarts twice within a minute."""
    with chat() as room, httpx.Client(base_url=room.server.http(), trust_env=False) as http:
        answers = [http.post("/ticket", headers=bearer("ana")).status_code for _ in range(2 * TABS)]
    assert set(answers) == {200}


async def test_a_class_behind_one_address_logs_in_at_once() -> None:
    """Two hundred students come from one school's address when the lesson begins."""
    students = 200

    with chat(demo_login=True) as room:
        async with httpx.AsyncClient(base_url=room.server.http(), trust_env=False, timeout=DEADLINE * 4) as http:
            logins = (http.post("/login", json={"name": f"student {number}"}) for number in range(students))
            assert {answer.status_code for answer in await asyncio.gather(*logins)} == {204}


@pytest.mark.parametrize("character", ["\N{GRINNING FACE}", "\x01", '"', "é"])
async def test_the_longest_message_of_our_clients_is_stored(character: str) -> None:
    """With the characters that take the most bytes in UTF-8, or in JSON; the page's field has the same limit."""
    (most,) = (rule.max_length for rule in Say.model_fields["text"].metadata if hasattr(rule, "max_length"))
    assert f'maxlength="{most}"' in (STATIC / "index.html").read_text(encoding="utf-8")
    with chat() as room:
        options = ConnectOptions(proxy=None)
        token = bearer("ana")["Authorization"].removeprefix("Bearer ")
        async with asyncio.timeout(DEADLINE), Client(room.server.http(), token=token, options=options) as ana:
            await ana.say("r" * 64, character * most)


async def test_a_server_that_is_full_of_dead_connections_lets_their_users_in() -> None:
    """The server's pings find the dead ones, and the clients try until there is room."""
    settings = Settings(key=SecretStr(KEY), connections=5, grace_seconds=0, ping_seconds=0.3)
    backoff = Backoff(base=0.1, busy_base=0.2, maximum=0.4)
    options = ConnectOptions(proxy=None, ping_interval=0.3, open_timeout=2.0, backoff=backoff)
    with serve(create_app(settings), **settings.uvicorn_options) as served, Tap(served) as tap:
        async with asyncio.timeout(4 * DEADLINE), AsyncExitStack() as stack:
            clients = []
            for number in range(settings.connections):
                token = bearer(f"user {number}")["Authorization"].removeprefix("Bearer ")
                clients.append(await stack.enter_async_context(Client(tap.http(), token=token, options=options)))
            tap.cut()
            await until(lambda: all(client.last_disconnect is not None for client in clients), seconds=2 * DEADLINE)
            tap.mend()
            for client in clients:
                await client.say("lobby", "good morning", seconds=2 * DEADLINE)


async def test_many_rooms_come_back_over_a_slow_path() -> None:
    """A client that joins all its rooms at once, far behind in each, is waited for between rooms and within one."""
    rooms = {f"room-{number}": 240 if number == 0 else 60 for number in range(20)}
    joins: dict[str, str] = {}
    with chat(messages_per_second=1e6, message_burst=100_000) as hall, Person(hall.server, "ana", room=None) as ana:
        for room in rooms:
            ana.send(type="join", room=room)
            position = ana.receive("joined")["position"]
            joins[room] = json.dumps({"type": "join", "room": room, "after": position})
        for room, count in rooms.items():
            for _ in range(count):
                ana.send(type="say", room=room, text="x" * 500)
        for _ in range(sum(rooms.values())):
            ana.receive("message")
        with Silent(hall.server, "ben", greeting=joins["room-0"]) as ben:
            for room in list(rooms)[1:]:
                ben.send(Opcode.TEXT, joins[room].encode())
            for room in rooms:
                ana.send(type="say", room=room, text="meanwhile")
            await asyncio.to_thread(ana.receive, "message")
            received = await asyncio.to_thread(read_until, ben, b'"text":"meanwhile"', len(rooms))
    assert received.count(b'"type":"joined"') == len(rooms)
    assert received.count(b'"type":"message"') == sum(rooms.values()) + len(rooms)


def read_until(silent: Silent, text: bytes, count: int) -> bytes:
    """Read until a text has come so many times, or the connection ends."""
    received = bytearray()
    while received.count(text) < count and (data := silent.socket.recv(65_536)):
        received += data
    return bytes(received)


async def test_streams_whose_path_has_died_do_not_keep_their_user_out() -> None:
    """As after sleep, when the server can't know yet; a browser would give up its event stream after an error."""
    with chat(connections_per_user=2) as room, Tap(room.server) as tap:
        options: dict[str, Any] = {"headers": bearer("ana"), "trust_env": False, "timeout": DEADLINE}
        async with (
            httpx.AsyncClient(base_url=tap.http(), **options) as before,
            httpx.AsyncClient(base_url=room.server.http(), **options) as after,
            before.stream("GET", STREAM),
            before.stream("GET", STREAM),
        ):
            tap.cut()
            async with after.stream("GET", STREAM) as one, after.stream("GET", STREAM) as two:
                assert [one.status_code, two.status_code] == [200, 200]
                await until(lambda: len(room.hall.app.state.waiting) == 2)  # type: ignore[attr-defined]
