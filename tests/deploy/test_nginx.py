"""deploy/nginx.conf: TLS in front of two server processes, with real clients through it.

nginx is not installed by this: where there is none, all of it is skipped.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from lab.servers.valkey import Engine
from websockets.exceptions import ConnectionClosed, InvalidStatus

from server.access.tokens import issue_session
from server.messages import CloseCode

from .site import CONNECTIONS, DEADLINE, KEY, NAME, Site, nginx, until
from .wss import Connection, connect

pytestmark = [
    pytest.mark.skipif(nginx() is None, reason="nginx is not installed; on Debian and Ubuntu: apt install nginx-light"),
    pytest.mark.skipif(Engine.missing() is not None, reason=str(Engine.missing())),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One for all tests; a test that stops a server starts it again."""
    with Site(tmp_path_factory.mktemp("site")) as site:
        yield site


def hear(socket: Connection, type: str) -> dict[str, Any]:  # noqa: A002
    """The next message of this type; others are passed over."""
    while True:
        message: dict[str, Any] = json.loads(socket.recv(timeout=DEADLINE))
        if message["type"] == type:
            return message


def join(socket: Connection, **fields: Any) -> dict[str, Any]:
    """Come into the lobby."""
    socket.send(json.dumps({"type": "join", "room": "lobby"} | fields))
    return hear(socket, "joined")


def say(socket: Connection, text: str) -> None:
    """Say something there."""
    socket.send(json.dumps({"type": "say", "room": "lobby", "text": text}))


def end(socket: Connection) -> tuple[int, str]:
    """Read until the server closes: the code and the reason."""
    try:
        while True:
            socket.recv(timeout=DEADLINE)
    except ConnectionClosed as closed:
        return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")


def connections(site: Site) -> list[int]:
    """How many each server holds, by its own /metrics."""
    found = []
    for server in site.servers:
        text = httpx.get(f"http://127.0.0.1:{server.port}/metrics", trust_env=False).text
        found.append(int(float(text.partition("\nchat_connections ")[2].split()[0])))
    return found


@contextmanager
def apart(site: Site, ana: httpx.Client, ben: httpx.Client) -> Iterator[tuple[Connection, Connection, int]]:
    """Ana and Ben in the lobby, each by way of another process, and the number of Ana's."""
    until(lambda: connections(site) == [0, 0], "earlier clients are gone")
    with ExitStack() as stack:
        here = stack.enter_context(site.connect(ana))
        hear(here, "welcome")
        number = connections(site).index(1)
        # nginx may count a client that has just gone, and send Ben to Ana's process; not twice
        for _ in range(5):
            there = stack.enter_context(site.connect(ben))
            join(there)
            if 0 not in connections(site):
                break
        else:
            pytest.fail("nginx sends everybody to one process")
        join(here)
        yield here, there, number


def test_a_page_connects_and_chats(site: Site) -> None:
    """Page, login, ticket and WebSocket behind TLS; the cookie is for https only."""
    with site.client() as ana:
        page = ana.get("/")
        assert "text/html" in page.headers["content-type"]
        assert page.headers["strict-transport-security"]
        cookie = ana.post("/login", json={"name": "ana"}).raise_for_status().headers["set-cookie"]
        assert "Secure" in cookie
        with site.connect(ana) as socket:
            assert hear(socket, "welcome")["user"] == "ana"


def test_clients_of_both_processes_share_a_room(site: Site) -> None:
    """What is said at one is heard at both."""
    with site.client("ana") as ana, site.client("ben") as ben, apart(site, ana, ben) as (here, there, _):
        say(here, "to everybody")
        assert hear(there, "message")["text"] == hear(here, "message")["text"] == "to everybody"


def test_a_page_of_another_origin_stays_out(site: Site) -> None:
    """The server knows its own address behind nginx, and the code and the reason come through."""
    with site.client("ana") as ana:
        with site.connect(ana, origin="https://evil.example") as socket:
            assert end(socket) == (CloseCode.FORBIDDEN, "pages of this origin may not connect")
        assert ana.post("/ticket", headers={"Origin": "https://evil.example"}).status_code == 403
        assert ana.post("/ticket", headers={"Origin": site.address.replace("https", "http")}).status_code == 403


def test_refusals_are_passed_on(site: Site) -> None:
    """A program reads the status, a page the code."""
    where = f"wss://{NAME}:{site.port}/ws"
    with pytest.raises(InvalidStatus) as refused, connect(where, tls=site.tls):
        pass
    assert refused.value.response.status_code == 401
    with connect(where, tls=site.tls, origin=site.address) as socket:
        assert end(socket)[0] == CloseCode.AUTH_REQUIRED


def test_what_is_too_big_is_refused(site: Site) -> None:
    """A body, a header and a message over the limit."""
    with site.client("ana") as ana:
        assert ana.post("/login", content=b"x" * 20_000).status_code == 413
        assert ana.get("/", headers={"X-Long": "x" * 10_000}).status_code == 400
        with site.connect(ana) as socket:
            say(socket, "x" * 20_000)
            assert end(socket)[0] == CloseCode.MESSAGE_TOO_BIG


def test_an_address_that_asks_too_often_has_to_wait(site: Site) -> None:
    """For tickets, logins and connections, before a server is asked; another address gets an answer."""
    crowd, other = (httpx.HTTPTransport(local_address=f"127.0.0.{host}", verify=site.tls) for host in (3, 4))
    with site.client(transport=crowd) as eve, site.client(transport=other) as ana:
        statuses: list[int] = []
        while not statuses or statuses[-1] != 429:
            assert len(statuses) < 2_000
            answer = eve.post("/ticket")
            statuses.append(answer.status_code)
        assert statuses.count(401) > 200
        assert answer.headers.get_list("Retry-After") == ["5"]
        assert eve.get("/healthz").status_code == 200
        assert ana.post("/ticket").status_code == 401


def test_the_connections_of_an_address_are_limited(site: Site) -> None:
    """A request that does not end counts from its head on; one more is refused, and another address is not."""

    def ask(stack: ExitStack, host: int) -> ssl.SSLSocket:
        raw = socket.create_connection(("127.0.0.1", site.port), DEADLINE, source_address=(f"127.0.0.{host}", 0))
        tls = site.tls.wrap_socket(raw, server_hostname=NAME)
        tls.sendall(f"POST /x HTTP/1.1\r\nHost: {NAME}:{site.port}\r\nContent-Length: 1\r\n\r\n".encode())
        return stack.enter_context(tls)

    with ExitStack() as stack:
        crowd = [ask(stack, 5) for _ in range(CONNECTIONS)]
        answers = [tls.recv(12) for tls in (ask(stack, 5), ask(stack, 5))]
        assert b"HTTP/1.1 429" in answers
        other = ask(stack, 6)
        other.sendall(b"x")
        assert other.recv(12) == b"HTTP/1.1 405"
        crowd[0].sendall(b"x")
        assert crowd[0].recv(12) == b"HTTP/1.1 405"


@pytest.mark.parametrize("path", ["/metrics", "/metrics?x=1", "//metrics", "/%6detrics", "/x/../metrics"])
def test_metrics_are_not_public(site: Site, path: str) -> None:
    """Whatever way the path is written; each server itself answers."""
    assert connections(site)
    # by hand: a client library would tidy the path up
    with (
        socket.create_connection(("127.0.0.1", site.port)) as raw,
        site.tls.wrap_socket(raw, server_hostname=NAME) as tls,
    ):
        tls.sendall(f"GET {path} HTTP/1.1\r\nHost: {NAME}:{site.port}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: tls.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"chat_connections" not in answer


def test_events_are_not_buffered(site: Site) -> None:
    """A server-sent event is there while its response goes on."""
    bearer = issue_session("shop", key=KEY, seconds=60, scope="push")
    with site.client("ana") as ana, ana.stream("GET", "/notifications/stream") as stream:
        lines = stream.iter_lines()
        assert "inbox" in next(line for line in lines if line.startswith("event:"))
        with site.client() as shop:
            pushed = shop.post(
                "/users/ana/notifications",
                json={"kind": "order", "text": "it is on its way"},
                headers={"Authorization": f"Bearer {bearer}"},
            )
        assert pushed.status_code == 202
        assert "on its way" in next(line for line in lines if "text" in line)


@pytest.mark.parametrize("path", ["google/103", "google%2F103", "google%2f103", "auth0%7C5f", "a%2F%2Fb"])
def test_a_name_with_a_slash_is_passed_on(site: Site, path: str) -> None:
    """As it is, and percent-encoded: nginx hands the address on as it came."""
    user = unquote(path)
    mine, push = (
        {"Authorization": f"Bearer {issue_session(name, key=KEY, seconds=60, scope=scope)}"}
        for name, scope in ((user, ""), ("shop", "push"))
    )
    with site.client() as client:
        before = client.get("/notifications", headers=mine).json()["unread"]
        answer = client.post(f"/users/{path}/notifications", json={"kind": "k", "text": "t"}, headers=push)
        assert answer.status_code == 202, answer.text
        assert client.get("/notifications", headers=mine).json()["unread"] == before + 1


def test_the_log_has_the_address_and_no_ticket(site: Site) -> None:
    """The real address, at nginx and at the server, whatever the client says it was."""
    transport = httpx.HTTPTransport(local_address="127.0.0.2", verify=site.tls)
    with site.client(transport=transport) as ana:
        ana.get("/healthz", headers={"X-Forwarded-For": "203.0.113.7"}).raise_for_status()
        ana.post("/login", json={"name": "ana"}).raise_for_status()
        ticket = ana.post("/ticket").json()["ticket"]
        answer = ana.get("/ws", params={"ticket": ticket})
        assert answer.status_code == 404
    until(lambda: '"GET /ws"' in site.log(), "the request is logged")
    assert "127.0.0.2 [" in site.log()

    def lines() -> list[str]:
        return [line for server in site.servers for line in tuple(server.lines)]

    until(lambda: any(re.match(r"127\.0\.0\.2:.*/healthz", line) for line in lines()), "the server logs it")
    for log in (site.log(), site.log("error"), *lines()):
        assert ticket not in log
        assert "203.0.113.7" not in log


def test_a_foreign_host_name_is_refused(site: Site) -> None:
    """A name that somebody points to this address is no origin of ours; plain HTTP is sent to https."""
    with site.client() as client:
        assert client.get("/", headers={"Host": "evil.example"}).status_code == 421
    answer = httpx.get(f"http://127.0.0.1:{site.plain_port}/?a=b", headers={"Host": NAME}, trust_env=False)
    assert (answer.status_code, answer.headers["location"]) == (308, f"https://{NAME}/?a=b")


def test_a_process_that_stops_loses_nothing(site: Site) -> None:
    """Its clients get 1012, reconnect to the other process at once, and get each message that they missed once."""
    with site.client("ana") as ana, site.client("ben") as ben:
        with apart(site, ana, ben) as (here, there, number):
            port = site.servers[number].port
            say(here, "before")
            after = hear(here, "message")["position"]
            hear(there, "message")
            site.servers[number].terminate()
            assert end(here)[0] == CloseCode.SERVICE_RESTART
            say(there, "meanwhile")
            hear(there, "message")
        with site.connect(ana) as again:
            again.send(json.dumps({"type": "join", "room": "lobby", "after": after}))
            say(again, "back again")
            assert [hear(again, "message")["text"] for _ in range(2)] == ["meanwhile", "back again"]
        assert site.servers[number].wait() == 0
        site.servers[number] = site.servers[number].again(port)
        assert site.servers[number].port == port
