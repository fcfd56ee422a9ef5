"""server.handshake on a real socket: who is admitted, and what a client that is refused can read."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any

import jwt
import pytest
from fastapi import Depends, FastAPI, WebSocket
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

import server.handshake
from server import BackgroundServer, serve
from server.handshake import ClientInfo, Handshake, issue_ticket, verify_ticket
from server.messages import CloseCode

KEY = "a secret of thirty-two characters"
PAGE = "https://app.example"
verify = partial(verify_ticket, key=KEY)


def app_with(handshake: Handshake) -> FastAPI:
    """An app that admits through `handshake` and then sends the client what it knows."""
    app = FastAPI()

    @app.websocket("/ws")
    async def admit(websocket: WebSocket) -> None:
        client = await handshake(websocket)
        await websocket.accept(subprotocol=client.subprotocol)
        await websocket.send_text(f"{client.user} from {client.origin} speaking {client.subprotocol}")
        await websocket.close()

    return app


as_dependency = FastAPI()
members_only = Handshake(verify=verify)


@as_dependency.websocket("/ws")
async def greet(websocket: WebSocket, client: Annotated[ClientInfo, Depends(members_only)]) -> None:
    """Greet a member."""
    await websocket.accept()
    await websocket.send_text(f"hello {client.user}")
    await websocket.close()


def knock(server: BackgroundServer, path: str = "/ws", **options: Any) -> str:
    """What a client reads: the first message, or how it was refused."""
    options = {"open_timeout": 3, "close_timeout": 3, "proxy": None} | options
    try:
        with connect(server.url(path), **options) as websocket:
            return str(websocket.recv(timeout=15))
    except InvalidStatus as refused:
        return f"HTTP {refused.response.status_code} {(refused.response.body or b'').decode()}"
    except ConnectionClosedError as closed:
        return f"closed {closed.rcvd.code} {closed.rcvd.reason}" if closed.rcvd else "closed 1006"


def raw(server: BackgroundServer, *headers: str) -> str:
    """The status line that the server answers to exactly these header lines."""
    lines = [
        "GET /ws HTTP/1.1",
        *headers,
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        return client.makefile("rb").readline().decode().strip()


@pytest.fixture
def same_origin() -> Iterator[BackgroundServer]:
    """A server with the defaults, whose refusals are HTTP responses."""
    with serve(app_with(Handshake(readable_by="program"))) as running:
        yield running


@pytest.fixture
def listed() -> Iterator[BackgroundServer]:
    """A server that also takes the pages of one other origin."""
    with serve(app_with(Handshake(origins=[PAGE, "http://dev.example:5173"], readable_by="program"))) as running:
        yield running


@pytest.fixture
def ticketed() -> Iterator[BackgroundServer]:
    """A server that asks for a ticket, in any of the three places."""
    with serve(app_with(Handshake(verify=verify, cookie="session", origins=[PAGE]))) as running:
        yield running


# origin


def test_a_program_without_origin_is_admitted(same_origin: BackgroundServer) -> None:
    """No Origin means no browser: there is no page to protect a user from."""
    assert knock(same_origin) == "None from None speaking None"


def test_a_page_of_the_servers_own_origin_is_admitted(same_origin: BackgroundServer) -> None:
    """Same scheme, host and port as in the Host header is same-origin, without any list."""
    origin = same_origin.http("")[:-1]
    assert knock(same_origin, origin=origin) == f"None from {origin} speaking None"


@pytest.mark.parametrize("host", ["good.example", "good.example:80", "GOOD.example"])
@pytest.mark.parametrize("origin", ["http://good.example", "http://good.example:80", "HTTP://Good.Example"])
def test_default_ports_and_case_do_not_matter(same_origin: BackgroundServer, origin: str, host: str) -> None:
    """Port 80 written or not, and the case of scheme and host, make no other origin (RFC 6454, 4)."""
    assert raw(same_origin, f"Host: {host}", f"Origin: {origin}") == "HTTP/1.1 101 Switching Protocols"


FOREIGN = [
    "https://evil.example",
    "http://good.example.evil.example",  # a prefix of the allowed origin
    "http://evil-good.example",  # a suffix of it
    "http://good.example@evil.example",
    "http://evil.example/good.example",
    "http://evil.example?http://good.example",
    "http://evil.example#http://good.example",
    "http://good.example/",
    "http://good.example\\.evil.example",
    "http://good.example.",
    "http://good.example:8080",
    "https://good.example",  # the other scheme
    "https://good.example:80",
    "http://good.example:99999",
    "http://good.example:x",
    "http://goodxexample",
    "http://[",
    "http://",
    "//good.example",
    "good.example",
    "null",
    "NULL",
    "*",
    "",
    "file://",
    "http://good.example, http://evil.example",
    "http://good.example http://evil.example",
    "http://g\xf6\xf6d.example",
]


@pytest.mark.parametrize("origin", FOREIGN)
def test_any_other_origin_is_refused(same_origin: BackgroundServer, origin: str) -> None:
    """What is not exactly scheme, host and port of this server is another origin."""
    assert raw(same_origin, "Host: good.example", f"Origin: {origin}") == "HTTP/1.1 403 Forbidden"


@pytest.mark.parametrize(
    "origins", [("http://good.example", "http://evil.example"), ("http://good.example", "http://good.example")]
)
def test_several_origin_headers_are_refused(same_origin: BackgroundServer, origins: tuple[str, str]) -> None:
    """A browser sends one Origin (RFC 6454, 7.3); here uvicorn itself answers 400."""
    lines = [f"Origin: {origin}" for origin in origins]
    assert raw(same_origin, "Host: good.example", *lines) == "HTTP/1.1 400 Bad Request"


@pytest.mark.anyio
async def test_several_origin_headers_are_refused_under_a_server_that_passes_them_on() -> None:
    """Not every ASGI server refuses two Origin headers, so the handshake does."""
    assert await _refused_status(("host", "good.example"), *[("origin", "http://good.example")] * 2) == 403


@pytest.mark.anyio
@pytest.mark.parametrize("hosts", [(), ("good.example", "good.example")])
async def test_without_exactly_one_host_nothing_is_same_origin(hosts: tuple[str, ...]) -> None:
    """A missing or doubled Host, which some servers let through, gives nothing to compare with."""
    assert await _refused_status(*[("host", host) for host in hosts], ("origin", "http://good.example")) == 403


def test_no_host_is_not_the_same_as_an_empty_origin(same_origin: BackgroundServer) -> None:
    """Two things that are both missing are not equal."""
    assert raw(same_origin, "Host:", "Origin: http://") == "HTTP/1.1 403 Forbidden"


def test_a_listed_origin_is_admitted(listed: BackgroundServer) -> None:
    """A page of a listed origin may connect, with the default port written or not."""
    assert knock(listed, origin=PAGE) == f"None from {PAGE} speaking None"
    assert knock(listed, origin=f"{PAGE}:443") == f"None from {PAGE}:443 speaking None"
    assert knock(listed, origin="http://dev.example:5173").startswith("None from http://dev")


@pytest.mark.parametrize("origin", ["http://app.example", f"{PAGE}.evil.example", "http://dev.example", "null"])
def test_a_list_is_compared_exactly(listed: BackgroundServer, origin: str) -> None:
    """An entry of the list stands for one scheme, one host and one port."""
    assert knock(listed, origin=origin) == 'HTTP 403 {"detail":"pages of this origin may not connect"}'


@pytest.mark.parametrize(
    "origin",
    ["null", "*", "", "example.com", "https://example.com/", "https://", "https://*", "https://a b", "https://a;b"],
)
def test_what_is_no_origin_cannot_be_listed(origin: str) -> None:
    """A list with a wildcard, a path or null would not do what its author thinks."""
    with pytest.raises(ValueError, match="is not an origin; write scheme, host and port only"):
        Handshake(origins=[origin])


@pytest.mark.parametrize("host", ["", "https://chat.example", "chat.example:80", "a b", "*.", "a*.example", "ä..b"])
def test_what_is_no_host_cannot_be_listed(host: str) -> None:
    """No page would ever come from it."""
    with pytest.raises(ValueError, match="is not a host; write a name without scheme and port"):
        Handshake(hosts=[host])


@pytest.mark.parametrize(
    ("host", "listed", "admitted"),
    [
        ("chat.example", "CHAT.example", True),
        ("xn--mller-kva.example", "müller.example", True),
        ("a.xn--mller-kva.example", "*.Müller.example", True),
        ("anything.example:8000", "*", True),
        ("chat.example.evil.example", "chat.example", False),
        ("evilchat.example", "*.chat.example", False),
    ],
)
def test_hosts_are_compared_as_browsers_write_them(host: str, listed: str, admitted: bool) -> None:
    """In lower case and in ASCII, whatever the port."""
    handshake = Handshake(hosts=[listed])
    connection = HTTPConnection(_scope(("host", host), ("origin", f"http://{host}")))
    assert (handshake.origin_error(connection, "no") is None) is admitted


def test_a_name_that_is_not_listed_is_told_how_to_be() -> None:
    """In the few bytes that a close reason has room for."""
    for name in ("pc12.uni.example", f"{'a' * 60}.{'b' * 60}.example"):
        handshake = Handshake(hosts=["chat.example"])
        connection = HTTPConnection(_scope(("host", name), ("origin", f"http://{name}")))
        reason = handshake.origin_error(connection, "no")
        assert reason is not None
        assert name[:48] in reason
        assert "--hosts" in reason
        assert len(reason.encode()) <= 123


@pytest.mark.anyio
async def test_same_origin_follows_the_scheme_of_the_connection() -> None:
    """Behind TLS a page of http:// is another origin, and https:// is the same."""
    secure = {"scheme": "wss"}
    assert await _refused_status(("host", "good.example"), ("origin", "http://good.example"), **secure) == 403
    assert await _refused_status(("host", "good.example"), ("origin", "https://good.example"), **secure) is None


# credentials


def test_a_ticket_is_read_from_header_query_and_cookie(ticketed: BackgroundServer) -> None:
    """The three places where a client can put a token."""
    ticket = issue_ticket("ada", key=KEY)
    header = {"Authorization": f"bearer {ticket}"}
    cookie = {"Cookie": f"theme=dark; session={ticket}"}
    assert knock(ticketed, additional_headers=header) == "ada from None speaking None"
    assert knock(ticketed, f"/ws?ticket={ticket}") == "ada from None speaking None"
    assert knock(ticketed, additional_headers=cookie, origin=PAGE) == f"ada from {PAGE} speaking None"


def test_the_header_comes_first(ticketed: BackgroundServer) -> None:
    """A client that names itself twice is the one of the header, even where that token is bad."""
    ada, bob = issue_ticket("ada", key=KEY), issue_ticket("bob", key=KEY)
    header = {"Authorization": f"Bearer {ada}"}
    assert knock(ticketed, f"/ws?ticket={bob}", additional_headers=header).startswith("ada ")
    assert knock(ticketed, f"/ws?ticket={bob}", additional_headers={"Authorization": "Bearer"}).startswith("HTTP 401")


def test_a_cookie_counts_only_together_with_an_origin(ticketed: BackgroundServer) -> None:
    """A cookie alone does not say which page used it."""
    cookie = {"Cookie": f"session={issue_ticket('ada', key=KEY)}"}
    assert knock(ticketed, additional_headers=cookie).startswith("HTTP 401")


def test_a_foreign_page_gains_nothing_by_the_users_cookie(ticketed: BackgroundServer) -> None:
    """Cross-site WebSocket hijacking (RFC 6455, 10.2): good cookie, wrong page."""
    cookie = {"Cookie": f"session={issue_ticket('ada', key=KEY)}"}
    answer = knock(ticketed, additional_headers=cookie, origin="https://evil.example")
    assert answer == "closed 4003 pages of this origin may not connect"


def test_a_cookie_and_a_query_are_off_unless_named() -> None:
    """A token counts only in the places that were switched on."""
    ticket = issue_ticket("ada", key=KEY)
    with serve(app_with(Handshake(verify=verify, query=None, readable_by="program"))) as server:
        cookie = {"Cookie": f"session={ticket}; ticket={ticket}"}
        own = server.http("")[:-1]
        assert knock(server, f"/ws?ticket={ticket}", additional_headers=cookie, origin=own).startswith("HTTP 401")


FORGED = issue_ticket("ada", key="another secret of the right size", seconds=24 * 3600)


@pytest.mark.parametrize("wrong", ["", "x", "a.b.c", FORGED])
def test_a_wrong_ticket_is_refused(ticketed: BackgroundServer, wrong: str) -> None:
    """Missing, malformed and forged tickets get one and the same answer."""
    answer = 'HTTP 401 {"detail":"credentials are missing, wrong or expired"}'
    assert knock(ticketed, f"/ws?ticket={wrong}") == answer
    assert knock(ticketed, additional_headers={"Authorization": f"Bearer {wrong}"}) == answer


def test_a_ticket_expires(ticketed: BackgroundServer) -> None:
    """A ticket found in a log an hour later opens nothing."""
    assert knock(ticketed, f"/ws?ticket={issue_ticket('ada', key=KEY, seconds=-1)}").startswith("HTTP 401")


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "ada", "aud": "websocket"},  # would never expire
        {"aud": "websocket", "exp": 2**33},  # nobody's
        {"sub": "ada", "exp": 2**33},  # made for something else
        {"sub": "ada", "aud": "api", "exp": 2**33},
        {"sub": 7, "aud": "websocket", "exp": 2**33},
    ],
)
def test_a_token_that_is_no_ticket_is_none(claims: dict[str, Any]) -> None:
    """A token that the same key signed for another purpose is not a ticket."""
    assert verify_ticket(jwt.encode(claims, KEY, algorithm="HS256"), key=KEY) is None


def test_an_unsigned_token_is_none() -> None:
    """The algorithm is ours to choose, not the token's."""
    claims = {"sub": "ada", "aud": "websocket", "exp": 2**33}
    assert verify_ticket(jwt.encode(claims, "", algorithm="none"), key=KEY) is None


@given(st.text())
def test_no_text_makes_verify_ticket_raise(text: str) -> None:
    """Whatever a client sends, the answer is None and never an exception."""
    assert verify_ticket(text, key=KEY) is None


def test_a_ticket_says_who_for_half_a_minute() -> None:
    """The user's name and the lifetime are in the ticket, readable by anybody, changeable by nobody."""
    claims = jwt.decode(issue_ticket("ada", key=KEY), options={"verify_signature": False})
    assert claims["sub"] == "ada"
    assert 28 <= claims["exp"] - time.time() <= 31


def test_a_handshake_is_a_fastapi_dependency() -> None:
    """With Depends a refused client never reaches the handler."""
    with serve(as_dependency) as server:
        assert knock(server, f"/ws?ticket={issue_ticket('ada', key=KEY)}") == "hello ada"
        assert knock(server).startswith("HTTP 401")
        assert knock(server, origin=server.http("")[:-1]).startswith("closed 4001")


def test_verify_may_be_a_coroutine_function() -> None:
    """A session is often looked up in a database, with await."""

    async def look_up(token: str) -> str | None:
        await asyncio.sleep(0)
        return {"t1": "ada"}.get(token)

    with serve(app_with(Handshake(verify=look_up))) as server:
        assert knock(server, "/ws?ticket=t1").startswith("ada ")
        assert knock(server, "/ws?ticket=t2").startswith("HTTP 401")


@pytest.mark.parametrize("answer", [None, "", False])
def test_only_a_name_admits(answer: Any) -> None:
    """A `verify` that says False, or knows an empty name, has not said yes."""
    with serve(app_with(Handshake(verify=lambda token: answer))) as server:
        assert knock(server, "/ws?ticket=t1").startswith("HTTP 401")


def test_a_verify_that_fails_admits_nobody() -> None:
    """A broken database is the server's fault, and no open door."""

    def broken(token: str) -> str | None:
        raise RuntimeError(f"no database to look {token!r} up")

    with serve(app_with(Handshake(verify=broken))) as server:
        assert knock(server, "/ws?ticket=t1").startswith("HTTP 500")
        assert "no database to look 't1' up" in str(server.log[-2].exc_info)


# refusals


def test_a_refusal_for_a_program_says_how_to_authenticate() -> None:
    """A 401 carries WWW-Authenticate (RFC 9110, 15.5.2)."""
    with serve(app_with(Handshake(verify=verify))) as server, pytest.raises(InvalidStatus) as caught:
        connect(server.url("/ws"), proxy=None).__enter__()
    assert caught.value.response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("readable_by", "program", "page"),
    [("client", "HTTP 401", "closed 4001"), ("program", "HTTP 401", "HTTP 401"), ("browser", *["closed 4001"] * 2)],
)
def test_each_client_gets_the_refusal_it_can_read(readable_by: Any, program: str, page: str) -> None:
    """Programs read a status, pages read a close code; the setting can overrule the guess."""
    with serve(app_with(Handshake(verify=verify, readable_by=readable_by))) as server:
        assert knock(server).startswith(program)
        assert knock(server, origin=server.http("")[:-1]).startswith(page)


def test_a_refused_page_gets_an_answer_to_its_subprotocols() -> None:
    """A browser fails a connection that leaves its offer unanswered, and would see 1006 instead of the code."""
    handshake = Handshake(verify=verify, subprotocols=["chat.v1"], readable_by="browser")
    offer: Any = ["chat.v9", "chat.v1"]
    with serve(app_with(handshake)) as server, connect(server.url("/ws"), subprotocols=offer, proxy=None) as websocket:
        assert websocket.subprotocol == "chat.v9"
        with pytest.raises(ConnectionClosedError, match="4001"):
            websocket.recv(timeout=15)


def test_every_reason_fits_into_a_close_frame() -> None:
    """A close frame has room for 123 bytes; a longer reason would turn the code into 1006."""
    names = [f"a-rather-long-subprotocol-name.v{number}" for number in range(20)]
    with serve(app_with(Handshake(subprotocols=names, readable_by="browser"))) as server:
        assert knock(server, subprotocols=["other"]).startswith("closed 1002 no subprotocol in common, offer a-rather")


# subprotocols


@pytest.fixture
def speaking() -> Iterator[BackgroundServer]:
    """A server that speaks two versions."""
    with serve(app_with(Handshake(subprotocols=["chat.v2", "chat.v1"]))) as running:
        yield running


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [(["chat.v1"], "chat.v1"), (["chat.v1", "chat.v2"], "chat.v2"), (["x", "chat.v1"], "chat.v1"), (None, None)],
)
def test_the_server_chooses_its_best(speaking: BackgroundServer, offered: Any, chosen: str | None) -> None:
    """The server's order decides; who offers nothing is given nothing."""
    assert knock(speaking, subprotocols=offered) == f"None from None speaking {chosen}"


def test_no_subprotocol_in_common_is_refused(speaking: BackgroundServer) -> None:
    """Two ends that have no language in common learn it at once, not from the first message."""
    answer = "no subprotocol in common, offer chat.v2, chat.v1"
    assert knock(speaking, subprotocols=["chat.v3"]) == f'HTTP 400 {{"detail":"{answer}"}}'
    own = speaking.http("")[:-1]
    assert knock(speaking, subprotocols=["chat.v3"], origin=own) == f"closed 1002 {answer}"


def test_an_endpoint_without_subprotocols_leaves_the_offer_unanswered(same_origin: BackgroundServer) -> None:
    """A server may not choose what it does not speak (RFC 6455, 4.2.2)."""
    assert knock(same_origin, subprotocols=["chat.v3"]) == "None from None speaking None"


def test_names_are_pinned() -> None:
    """What the module promises to others."""
    assert server.handshake.__all__ == [
        "ClientInfo",
        "Handshake",
        "Origin",
        "Verify",
        "issue_ticket",
        "parse_host",
        "parse_origin",
        "verify_ticket",
    ]
    assert (CloseCode.AUTH_REQUIRED, CloseCode.FORBIDDEN) == (4001, 4003)


async def _refused_status(*headers: tuple[str, str], scheme: str = "ws") -> int | None:
    """How a request with exactly these headers is refused, for what uvicorn would not let through."""
    nothing: Any = None
    try:
        await Handshake(readable_by="program")(WebSocket(_scope(*headers, scheme=scheme), nothing, nothing))
    except HTTPException as refused:
        return refused.status_code
    return None


def _scope(*headers: tuple[str, str], scheme: str = "ws") -> dict[str, Any]:
    return {
        "type": "websocket",
        "scheme": scheme,
        "path": "/ws",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers],
        "subprotocols": [],
    }
