"""How a client proves who it is: tickets, tokens, TLS, and the demo login through a proxy."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from server import BackgroundServer, serve
from server.app import create_app
from server.client import Backoff, Client, ConnectOptions, LoginError, RefusedError
from server.settings import Settings
from tests.server.client.scripted import FAST, client
from tests.server.counting import until
from tests.server.people import KEY, chat
from tests.server.recipients import bearer

pytestmark = pytest.mark.anyio


async def test_a_ticket_is_fetched_for_each_connection() -> None:
    """A ticket is good for one connection; a client that reconnects needs another."""
    fetched = 0

    def get_ticket(server: BackgroundServer) -> str:
        nonlocal fetched
        fetched += 1
        answer = httpx.post(server.http("/ticket"), headers=bearer("ana"), trust_env=False)
        ticket: str = answer.json()["ticket"]
        return ticket

    with chat() as first:
        async with Client(first.server.http(), ticket=lambda: get_ticket(first.server), options=FAST) as ana:
            assert ana.user == "ana"
            await asyncio.to_thread(first.server.stop)
            with chat(port=first.server.port):
                await until(lambda: ana.statistics().connections == 2)
        assert fetched >= 2


async def test_the_headers_of_a_client_log_in_a_request() -> None:
    """Your own HTTP request acts as the same user, without a second login."""
    with serve(create_app(Settings(key=KEY, demo_login=True))) as server:  # type: ignore[arg-type]
        async with asyncio.timeout(30), Client(server.http(), name="ana", options=FAST) as ana:
            headers = await ana.headers()
            assert headers == await ana.headers()
            async with httpx.AsyncClient(headers=headers, trust_env=False) as http:
                assert (await http.post(server.http("/ticket"))).json()["user"] == "ana"


@pytest.fixture
def secure(tmp_path: Path) -> Any:
    """Return a server with TLS, and a context that trusts it."""
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with serve(
        create_app(Settings(key=KEY, demo_login=True)),  # type: ignore[arg-type]
        ssl_certfile=str(tmp_path / "server.pem"),
    ) as server:
        yield server, context


async def test_a_client_speaks_tls(secure: tuple[BackgroundServer, ssl.SSLContext]) -> None:
    """The WebSocket and the demo login both do."""
    server, context = secure

    options = ConnectOptions(proxy=None, backoff=Backoff(base=0.02), tls=context)
    async with asyncio.timeout(30), Client(server.http(), name="ana", options=options) as ana:
        assert (await ana.say("lobby", "in private")).offset == 1


@pytest.mark.parametrize("way", ["token", "name"])
async def test_an_untrusted_certificate_ends_the_client(
    secure: tuple[BackgroundServer, ssl.SSLContext], way: str
) -> None:
    """Trying again would not help."""
    server, _ = secure
    options: dict[str, Any] = {way: "ana"}

    with pytest.raises(RefusedError, match=r"1015: .*certificate.*; "):
        async with asyncio.timeout(30), Client(server.http(), options=FAST, **options):
            pass


@pytest.fixture
def new_tls(tmp_path: Path, secure: Any) -> Iterator[int]:
    """Listen with TLS 1.3 only, and tell clients of other versions so, as nginx does; return the port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "server.pem")
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    listener = socket.create_server(("127.0.0.1", 0))

    def listen() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            peer.settimeout(30)
            with suppress(OSError), context.wrap_socket(peer, server_side=True):
                pass

    thread = threading.Thread(target=listen)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(30)


@pytest.mark.parametrize("way", ["token", "name"])
async def test_a_server_of_another_tls_version_ends_the_client(secure: Any, new_tls: int, way: str) -> None:
    """Another attempt would fail in the same way."""
    _, old = secure
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    credentials: dict[str, Any] = {way: "ana"}
    options = ConnectOptions(proxy=None, backoff=Backoff(base=0.02), tls=old)
    with pytest.raises(RefusedError, match=r"1015: .*version of TLS"):
        async with asyncio.timeout(30), Client(f"https://127.0.0.1:{new_tls}", options=options, **credentials):
            pass


async def test_a_token_function_that_never_worked_ends_the_client() -> None:
    """Its error is raised on entering the block, where the programmer sees it."""

    def get_token() -> str:
        raise LookupError("no such secret")

    with chat() as room:
        server = room.server
        with pytest.raises(LookupError, match="no such secret"):
            async with client(server, token=get_token):
                pass


async def test_the_demo_login_uses_no_proxy_if_the_option_is_none(
    proxy: tuple[str, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the login nor the WebSocket uses the proxy of the environment."""
    address, asked = proxy
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"http://{address}")

    with serve(create_app(Settings(key=KEY, demo_login=True))) as server:  # type: ignore[arg-type]
        async with asyncio.timeout(30), Client(server.http(), name="ana", options=FAST) as ana:
            assert ana.user == "ana"
    assert asked == []


async def test_the_demo_login_goes_through_the_given_proxy(
    proxy: tuple[str, list[bytes]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where NO_PROXY lists the host; the cause is logged as a warning at once, and then less and less often."""
    address, asked = proxy
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "*")

    with serve(create_app(Settings(key=KEY, demo_login=True))) as server:  # type: ignore[arg-type]
        options = ConnectOptions(
            proxy=f"http://user:secret@{address}", backoff=Backoff(base=0.01, maximum=0.01, busy_base=0.01)
        )
        with suppress(TimeoutError):
            async with asyncio.timeout(30), asyncio.TaskGroup() as group:
                entering = group.create_task(Client(server.http(), name="ana", options=options).__aenter__())
                await until(lambda: len(asked) >= 6)
                entering.cancel()
        assert all(one.startswith(f"POST {server.http()}login HTTP/1.1\r\n".encode()) for one in asked)
        assert all(
            b"Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=" in one.replace(b"authorization", b"Authorization")
            for one in asked
        )
        assert not [record for record in server.log if "login" in record.getMessage()]
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    attempts = [int(text.partition("attempt ")[2].partition(":")[0]) for text in warnings]
    assert attempts[:3] == [1, 2, 4]
    assert len(attempts) < len(asked)
    assert not [text for text in warnings if "secret" in text]


def test_a_proxy_that_the_demo_login_cannot_use_is_refused() -> None:
    """The login must not bypass the proxy that the WebSocket uses."""
    with pytest.raises(LoginError, match=r"cannot go through a proxy .*pass token="):
        Client("http://127.0.0.1:9", name="ana", options=ConnectOptions(proxy="https://127.0.0.1:9"))


async def test_a_failed_connection_is_logged_with_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    """So you can read why a client does not connect."""
    with suppress(TimeoutError):
        async with asyncio.timeout(0.5), Client("http://127.0.0.1:1", token="t", options=FAST):
            pass
    first = next(record for record in caplog.records if record.name.startswith("server.client"))
    assert first.levelname == "WARNING"
    assert "no connection to http://127.0.0.1:1/, attempt 1: " in first.getMessage()
    assert "refused" in first.getMessage() or "Connect call failed" in first.getMessage()


@pytest.mark.parametrize("way", ["token", "ticket", "name"])
async def test_no_log_has_a_secret_or_a_message(way: str, caplog: pytest.LogCaptureFixture) -> None:
    """Not at any level, although `websockets` logs headers, addresses and frames when it debugs."""
    caplog.set_level(logging.DEBUG)
    with chat(key=KEY, demo_login=True) as room:
        token = bearer("ana")["Authorization"].removeprefix("Bearer ")
        async with httpx.AsyncClient(headers=bearer("ana"), trust_env=False) as http:
            ticket = (await http.post(room.server.http("/ticket"))).json()["ticket"]
        credentials: dict[str, Any] = {"token": token, "ticket": lambda: ticket, "name": "ana"}
        before = len(caplog.records)
        async with asyncio.timeout(30), Client(room.server.http(), options=FAST, **{way: credentials[way]}) as ana:
            secrets = [ticket] if way == "ticket" else [(await ana.headers())["Authorization"].removeprefix("Bearer ")]
            await ana.say("lobby", "a secret message")
        records = [record for record in caplog.records[before:] if not record.name.startswith("uvicorn")]
        logged = "\n".join(record.getMessage() for record in records)
        assert not [secret for secret in [*secrets, "a secret message"] if secret in logged]
