"""How a client proves who it is: by a ticket, and over TLS."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from server import BackgroundServer, serve
from server.app import create_app
from server.client import Backoff, Client, RefusedError, Wires
from server.settings import Settings
from tests.server.client.scripted import QUICK, client
from tests.server.counting import until
from tests.server.people import KEY, chat
from tests.server.recipients import bearer


def test_a_ticket_is_fetched_for_each_connection() -> None:
    """It is good for one; a client that comes back needs another."""
    fetched = 0

    def get_ticket(server: BackgroundServer) -> str:
        nonlocal fetched
        fetched += 1
        answer = httpx.post(server.http("/ticket"), headers=bearer("ana"), trust_env=False)
        ticket: str = answer.json()["ticket"]
        return ticket

    async def talk(first: Any) -> None:
        async with Client(first.server.http(), ticket=lambda: get_ticket(first.server), wires=QUICK) as ana:
            assert ana.user == "ana"
            await asyncio.to_thread(first.server.stop)
            with chat(port=first.server.port):
                await until(lambda: ana.statistics().connections == 2)
        assert fetched >= 2

    with chat() as room:
        asyncio.run(talk(room))


def test_a_request_of_ones_own_is_made_as_the_same_user() -> None:
    """The headers of a client open the HTTP routes, and no second login is needed."""

    async def talk(server: BackgroundServer) -> None:
        async with asyncio.timeout(5), Client(server.http(), name="ana", wires=QUICK) as ana:
            headers = await ana.headers()
            assert headers == await ana.headers()
            async with httpx.AsyncClient(headers=headers, trust_env=False) as http:
                assert (await http.post(server.http("/ticket"))).json()["user"] == "ana"

    with serve(create_app(Settings(key=KEY, demo_login=True))) as server:  # type: ignore[arg-type]
        asyncio.run(talk(server))


@pytest.fixture
def secure(tmp_path: Path) -> Any:
    """A server with TLS, and a context that trusts it."""
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with serve(
        create_app(Settings(key=KEY, demo_login=True)),  # type: ignore[arg-type]
        ssl_certfile=str(tmp_path / "server.pem"),
    ) as server:
        yield server, context


def test_a_client_speaks_tls(secure: tuple[BackgroundServer, ssl.SSLContext]) -> None:
    """To the WebSocket and to the demo login alike."""
    server, context = secure

    async def talk() -> None:
        wires = Wires(proxy=None, backoff=Backoff(base=0.02), tls=context)
        async with asyncio.timeout(5), Client(server.http(), name="ana", wires=wires) as ana:
            assert (await ana.say("lobby", "in private")).offset == 1

    asyncio.run(talk())


def test_a_certificate_that_nobody_vouches_for_is_the_last_word(
    secure: tuple[BackgroundServer, ssl.SSLContext],
) -> None:
    """Trying again would not mend it."""
    server, _ = secure

    async def talk() -> None:
        with pytest.raises(RefusedError, match=r"1015: .*certificate.*; "):
            async with client(server):
                pass

    asyncio.run(talk())


def test_a_token_function_that_never_worked_ends_the_client() -> None:
    """Its error is raised on entering, where the programmer sees it."""

    def get_token() -> str:
        raise LookupError("no such secret")

    async def talk(server: BackgroundServer) -> None:
        with pytest.raises(LookupError, match="no such secret"):
            async with client(server, token=get_token):
                pass

    with chat() as room:
        asyncio.run(talk(room.server))
