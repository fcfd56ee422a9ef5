"""The recipes in Python, run as a reader would: real servers, a real database, real threads."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, WebSocket
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import SecretStr
from sqlalchemy import create_engine, text
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import QueuePool
from starlette.requests import HTTPConnection
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from server import serve
from server.access.tokens import issue_session
from server.app import create_app
from server.settings import Settings
from tests.recipes.recipe import program

DEADLINE = 60.0
KEY = "a secret of thirty-two characters"


def heard(client: ClientConnection) -> Any:
    """The next message."""
    return client.recv(timeout=DEADLINE)


def hear(client: ClientConnection, kind: str) -> Any:
    """The next message of this type of the course's server."""
    while (message := json.loads(heard(client)))["type"] != kind:
        pass
    return message


# a database session


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[sessionmaker[Session]]:
    """A database with one price, and one connection for everybody."""
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    engine = create_engine(url, poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=0.1)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE items (name TEXT, price INTEGER)"))
        connection.execute(text("INSERT INTO items VALUES ('lamp', 40)"))
    yield sessionmaker(engine)
    engine.dispose()


def test_many_clients_share_one_database_connection(sessions: sessionmaker[Session]) -> None:
    """Each has asked and is silent now, and the next one still gets an answer."""
    names = program("database-session")
    names["app"].dependency_overrides[names["get_sessions"]] = lambda: sessions
    with serve(names["app"]) as server, ExitStack() as stack:
        for _ in range(3):
            client = stack.enter_context(connect(server.url("/prices"), proxy=None))
            client.send("lamp")
            assert heard(client) == "40"


def held_session(connection: HTTPConnection) -> Iterator[Session]:
    """What works in a route and not in a WebSocket route."""
    with connection.app.state.sessions() as session:
        yield session


def test_a_session_for_each_connection_empties_the_pool(sessions: sessionmaker[Session]) -> None:
    """What the recipe warns of: the first client is silent, and the second one gets nothing."""
    app = FastAPI()
    app.state.sessions = sessions
    errors: list[BaseException] = []

    @app.websocket("/prices")
    async def prices(websocket: WebSocket, session: Annotated[Session, Depends(held_session)]) -> None:
        await websocket.accept()
        async for _ in websocket.iter_text():
            try:
                price = await asyncio.to_thread(session.execute, text("SELECT price FROM items"))
            except PoolTimeoutError as error:
                errors.append(error)
                return
            await websocket.send_text(str(price.scalar()))

    with serve(app) as server, connect(server.url("/prices"), proxy=None) as first:
        first.send("lamp")
        assert heard(first) == "40"
        with connect(server.url("/prices"), proxy=None) as second:
            second.send("lamp")
            with pytest.raises(ConnectionClosed):
                heard(second)
    assert len(errors) == 1


# blocking code


def test_others_are_served_while_a_report_is_written() -> None:
    """The first client's report waits in its thread until the second client has its own."""
    names = program("blocking-code")
    written = names["write_report"]
    go_on = threading.Event()

    def write_report(name: str, tell: Any) -> Any:
        if name == "long":
            assert go_on.wait(DEADLINE)
        return written(name, tell)

    names["write_report"] = write_report
    with serve(names["app"]) as server, connect(server.url("/reports"), proxy=None) as first:
        first.send("long")
        with connect(server.url("/reports"), proxy=None) as second:
            second.send("short")
            assert [heard(second) for _ in range(4)] == ["25 %", "50 %", "75 %", "the report on short"]
        go_on.set()
        assert [heard(first) for _ in range(4)][-1] == "the report on long"
    names["reports"].shutdown()


# a job queue that pushes, and tenants


def test_a_worker_pushes_to_each_device_and_a_retry_adds_nothing() -> None:
    """Both devices get one message, though the job ran twice; a user without a device finds it later."""
    names = program("job-queue")
    with serve(create_app(Settings(key=SecretStr(KEY)))) as server, ExitStack() as stack:
        session = {"Authorization": f"Bearer {issue_session('ana', key=KEY, seconds=60)}"}
        devices = []
        for _ in range(2):
            device = stack.enter_context(connect(server.url("/ws"), additional_headers=session, proxy=None))
            device.send(json.dumps({"type": "watch"}))
            hear(device, "inbox")
            devices.append(device)
        with names["client_of"](server.http(), KEY) as worker:
            for _ in range(2):
                names["convert_video"](worker, "ana", "17")
            names["convert_video"](worker, "ana", "18")
        for device in devices:
            assert [hear(device, "notification")["data"]["job"] for _ in range(2)] == ["17", "18"]
        unread = httpx.get(server.http("/notifications?last=9"), headers=session, trust_env=False).json()
        assert [one["text"] for one in unread["notifications"]] == ["your video is ready"] * 2


def test_a_tenant_sees_its_own_rooms_only() -> None:
    """The same user and room exist twice, and stay apart."""
    names = program("tenants")
    with serve(names["app_for_tenants"](KEY)) as server:
        session = {"Authorization": f"Bearer {issue_session('acme.ana', key=KEY, seconds=60)}"}
        with connect(server.url("/ws"), additional_headers=session, proxy=None) as ana:
            for room, kind in (("acme.lobby", "joined"), ("globex.lobby", "error"), ("lobby", "error")):
                ana.send(json.dumps({"type": "join", "room": room}))
                assert hear(ana, kind)["type"] == kind


# files in pieces


def test_a_file_arrives_in_pieces_and_one_that_is_too_big_is_refused() -> None:
    """Announced, counted and stored; refused before its first byte, and when it is longer than announced."""
    names = program("audio-and-files")
    with serve(names["app"]) as server:
        with connect(server.url("/files"), proxy=None) as client:
            client.send(json.dumps({"type": "file", "size": 70_000}))
            for size in (32_768, 32_768, 4_464):
                client.send(b"x" * size)
            assert json.loads(heard(client)) == {"type": "stored", "size": 70_000}
        for size, pieces, code in ((names["MOST"] + 1, 0, 1009), (3, 1, 1008)):
            with connect(server.url("/files"), proxy=None) as client:
                client.send(json.dumps({"type": "file", "size": size}))
                for _ in range(pieces):
                    client.send(b"four")
                with pytest.raises(ConnectionClosed) as closed:
                    heard(client)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == code


# OpenTelemetry


@pytest.fixture
def spans() -> InMemorySpanExporter:
    """What is exported, kept in memory."""
    return InMemorySpanExporter()


def test_a_connection_is_a_span_that_ends_with_it(spans: InMemorySpanExporter) -> None:
    """A message's span is exported while the connection is open, in a trace of its own that links to it."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    names = program("opentelemetry")
    names["app"]._telemetry["tracer_provider"] = provider  # the global one can be set once in a process
    names["tracer"] = provider.get_tracer("chat")
    with serve(names["app"]) as server:
        with connect(server.url("/rooms/kitchen"), proxy=None) as client:
            client.send("hi")
            assert heard(client) == "hi"
            client.send("again")
            assert heard(client) == "again"  # the first message's span has ended
            before = named(spans)
        server.stop()
    assert "message" in before
    assert "WS /rooms/{room}" not in before
    after = named(spans)
    connection, message = after["WS /rooms/{room}"], after["message"]
    assert (connection.attributes or {})["http.route"] == "/rooms/{room}"
    assert {"fastapi.dependencies", "fastapi.endpoint"} <= set(after)
    assert message.parent is None
    assert connection.context.trace_id in [link.context.trace_id for link in message.links]


def named(spans: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    """The spans that were exported, by their names."""
    return {span.name: span for span in spans.get_finished_spans()}


# shutdown, and HTTP/2


def test_a_handler_ends_with_its_client_and_with_the_server() -> None:
    """A client that is told nothing keeps nothing alive: its queue is gone, and it reads 1012."""
    names = program("shutdown-and-reload")
    with serve(names["app"]) as server:
        with connect(server.url("/news"), proxy=None) as leaving:
            leaving.ping().wait(DEADLINE)
        with connect(server.url("/news"), proxy=None) as client:
            client.ping().wait(DEADLINE)
            server.stop()
            with pytest.raises(ConnectionClosed) as closed:
                heard(client)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
    assert names["news"] == set()


def test_uvicorn_does_not_speak_http2() -> None:
    """The recipe's question, asked to the course's server."""
    with serve(FastAPI()) as server:
        assert program("http2-http3-webtransport")["speaks_http2"]("127.0.0.1", server.port) is False
