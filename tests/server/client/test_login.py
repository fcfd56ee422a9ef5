"""Answers to the demo login, and addresses of servers that are not the chat."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from server import serve
from server.client import Backoff, Client, ClientError, ConnectOptions, LoginError, RefusedError
from tests.server.client.scripted import FAST, closes, refuses, scripted, stays
from tests.server.counting import until
from tests.server.people import DEADLINE

pytestmark = pytest.mark.anyio

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n"
COOKIE = b"Set-Cookie: chat_session=t\r\n"


class FixedServer:
    """A server that sends the same bytes to every client, and closes."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        with suppress(OSError):
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"POST"):  # unread bytes would turn the close into a reset
                head += await reader.readuntil(b"}")
            self.requests.append(head)
            writer.write(self.answer)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def answering(answer: bytes, port: int = 0) -> AsyncIterator[FixedServer]:
    """Serve these bytes for the length of the block, which has a deadline."""
    site = FixedServer(answer)
    async with asyncio.timeout(DEADLINE), await asyncio.start_server(site.serve, "127.0.0.1", port) as server:
        site.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        yield site


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 20",
        NO_CONTENT + b"Set-Coo",
        NO_CONTENT + b"X: " + 70_000 * b"x" + b"\r\n\r\n",
        NO_CONTENT + 200 * b"X: y\r\n" + COOKIE + b"\r\n",
        NO_CONTENT + b"\r\n",
        NO_CONTENT + b"Set-Cookie: chat_session=\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + COOKIE.replace(b"=t", b'="a b"') + b"\r\nzz",
    ],
)
async def test_an_invalid_answer_to_the_login_is_refused(answer: bytes) -> None:
    """On entering the block and by `headers`, with the remedy, and without another attempt."""
    async with answering(answer) as site:
        with pytest.raises(LoginError, match="demo login"):
            async with Client(site.url, name="ana", options=FAST):
                pass
        assert len(site.requests) == 1
        with pytest.raises(ClientError, match="demo login"):
            await Client(site.url, name="ana", options=FAST).headers()


NOT_A_WEBSOCKET = [
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"HTTP/1.1 abc\r\n\r\n",
    b"HTTP/1.1 " + 70_000 * b"x",
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
]


@pytest.mark.parametrize("answer", NOT_A_WEBSOCKET)
async def test_a_server_of_something_else_is_refused(answer: bytes) -> None:
    """The address is wrong, and another attempt would get the same answer."""
    async with answering(answer) as site:
        with pytest.raises(RefusedError, match="look at the address"):
            async with Client(site.url, token="t", options=FAST):
                pass
        assert len(site.requests) == 1


async def test_a_client_that_was_connected_waits_for_its_server() -> None:
    """Something else may answer at the address while the server restarts."""
    with serve(scripted(stays)) as server:
        async with asyncio.timeout(DEADLINE), Client(server.http(), token="t", options=FAST) as ana:
            await asyncio.to_thread(server.stop)
            async with answering(NOT_A_WEBSOCKET[0], server.port) as site:
                await until(lambda: len(site.requests) >= 3)
            assert ana.error is None


async def test_a_client_that_was_logged_in_waits_for_its_server() -> None:
    """Its session has ended, and for a moment something else answers the login."""
    cookie = {"Set-Cookie": "chat_session=t"}
    answers = [cookie, {"X-Long": 70_000 * "x"}, {"X-Long": 70_000 * "x"}, cookie]

    async def log_in(request: Request) -> Response:
        return Response(status_code=204, headers=answers.pop(0))

    app = scripted(closes(4001), stays)
    app.add_route("/login", log_in, methods=["POST"])
    with serve(app) as server:
        async with asyncio.timeout(DEADLINE), Client(server.http(), name="ana", options=FAST) as ana:
            await until(lambda: ana.statistics().connections == 2)
            assert not answers


@pytest.mark.parametrize("way", ["token", "name"])
async def test_a_proxy_that_wants_a_password_is_refused(way: str) -> None:
    """Without its password, another attempt would fail as well."""
    async with answering(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n") as proxy:
        credentials: dict[str, Any] = {way: "ana"}
        options = ConnectOptions(proxy=proxy.url, backoff=Backoff(base=0.02))
        with pytest.raises(RefusedError, match=r"407.*proxy="):
            async with Client("http://127.0.0.1:1", options=options, **credentials):
                pass


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 10\r\n\r\nno such",
        b"Content-Length: 99999999999\r\n\r\nno such",
        b"Transfer-Encoding: chunked\r\n\r\n7\r\nno such\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n7\r\nno such\r\n7\r\n",
    ],
)
async def test_a_refusal_counts_although_its_body_is_cut(body: bytes) -> None:
    """The status has come, and is enough."""
    async with answering(b"HTTP/1.1 422 No\r\n" + body) as site:
        with pytest.raises(RefusedError, match="422: no such; choose another name"):
            async with Client(site.url, name="ana", options=FAST):
                pass
        with pytest.raises(RefusedError, match="422: no such; choose another name"):
            await Client(site.url, name="ana", options=FAST).headers()


async def test_a_server_in_trouble_is_no_refusal() -> None:
    """Your own request can be tried again, as after any OSError."""
    async with answering(b"HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n") as site:
        with pytest.raises(OSError, match="503"):
            await Client(site.url, name="ana", options=FAST).headers()


async def test_a_closed_connection_is_tried_again() -> None:
    """The server may have been restarted just then."""
    async with answering(b"") as site:
        entering = asyncio.ensure_future(Client(site.url, name="ana", options=FAST).__aenter__())
        await until(lambda: len(site.requests) >= 3)
        entering.cancel()
        with suppress(asyncio.CancelledError):
            await entering


async def test_the_cookie_is_found_among_others() -> None:
    """A load balancer in front of the server may set its own first."""
    answer = NO_CONTENT + b"Set-Cookie: balancer=7; Path=/\r\n" + COOKIE + b"\r\n"
    async with answering(answer) as site:
        assert await Client(site.url, name="ana", options=FAST).headers() == {"Authorization": "Bearer t"}


@pytest.mark.parametrize("way", ["token", "name"])
async def test_https_to_a_server_without_tls_is_refused(way: str) -> None:
    """The error says to write http://."""
    with serve(scripted(stays)) as server:
        options: dict[str, Any] = {way: "ana"}
        client = Client(server.http().replace("http", "https"), options=FAST, **options)
        with pytest.raises(RefusedError, match=r"does not speak TLS; write http://"):
            async with asyncio.timeout(DEADLINE), client:
                pass


@pytest.mark.parametrize(
    "location", ["https://example.invalid/ws?ticket=hunter2", "ws://h:99999/?hunter2", "ftp://h/", "http://h:hunter2/"]
)
async def test_a_redirect_that_cannot_be_followed_is_refused(location: str) -> None:
    """The error doesn't repeat the address, which may hold a ticket."""
    with serve(scripted(refuses(301, headers={"Location": location}))) as server:
        client = Client(server.http(), token="t", options=FAST)
        with pytest.raises(RefusedError, match="redirects") as refused:
            async with asyncio.timeout(DEADLINE), client:
                pass
    assert "hunter2" not in str(refused.value)


async def test_a_refused_connection_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """The server may be starting just then."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    entering = asyncio.ensure_future(Client(f"http://127.0.0.1:{port}", name="ana", options=FAST).__aenter__())
    await until(lambda: any("attempt 2" in record.getMessage() for record in caplog.records))
    entering.cancel()
    with suppress(asyncio.CancelledError):
        await entering
