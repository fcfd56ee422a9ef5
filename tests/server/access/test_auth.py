"""Who are you: every way to prove it, over HTTP and at the door of the WebSocket, and every way not to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

from server import BackgroundServer, StartError, serve
from server.access.auth import COOKIE
from server.access.tokens import issue_session
from server.app import create_app
from server.settings import Settings
from tests.server.people import DEADLINE, KEY, chat

ANA = issue_session("ana", key=KEY, seconds=24 * 3600)  # made at collection, used minutes later
BEARER = {"Authorization": f"Bearer {ANA}"}
PAGE = "https://app.example"
STRANGER = "https://evil.example"


@pytest.fixture
def server() -> Iterator[BackgroundServer]:
    """The chat with the demo login, open to the pages of one other origin."""
    with chat(demo_login=True, origins=(PAGE,)) as room:
        yield room.server


@pytest.fixture
def http(server: BackgroundServer) -> Iterator[httpx.Client]:
    """A client that keeps cookies, as a browser does."""
    with httpx.Client(base_url=server.http(), timeout=DEADLINE, trust_env=False) as client:
        yield client


def knock(server: BackgroundServer, path: str = "/ws", **options: Any) -> str:
    """What a client reads: its name in the welcome, or how it was refused."""
    try:
        with connect(server.url(path), proxy=None, open_timeout=DEADLINE, **options) as websocket:
            return str(websocket.recv(timeout=DEADLINE))
    except InvalidStatus as refused:
        return f"HTTP {refused.response.status_code}"
    except ConnectionClosedError as closed:
        return f"closed {closed.rcvd.code}" if closed.rcvd else "closed 1006"


def own(server: BackgroundServer) -> str:
    """The origin of the server's own pages."""
    return server.http("")[:-1]


WELCOME = '{"type":"welcome","user":"ana","device":""}'

# the key


def test_without_a_key_the_app_does_not_start() -> None:
    """The message says what is missing and how to give it."""
    with pytest.raises(StartError, match=r"no key is set.* set CHAT_KEY .* or .* CHAT_DEMO_LOGIN=true"):
        create_app(Settings())


def test_a_demonstration_needs_no_key() -> None:
    """Its key is made up, and another one each time: sessions of one process are nothing to the next."""
    with chat(key=None, demo_login=True) as one, chat(key=None, demo_login=True) as other:
        assert knock(one.server, additional_headers=BEARER) == "HTTP 401"
        with httpx.Client(base_url=one.server.http(), trust_env=False) as client:
            client.post("/login", json={"name": "ana"})
            header = {"Authorization": f"Bearer {client.cookies[COOKIE]}"}
        assert knock(one.server, additional_headers=header) == WELCOME
        assert knock(other.server, additional_headers=header) == "HTTP 401"


def test_a_wrong_origin_is_refused_at_the_start() -> None:
    """Not to the first page that wants to connect."""
    with pytest.raises(ValueError, match=r"'example\.com' is not an origin"):
        create_app(Settings(key=SecretStr(KEY), origins=("example.com",)))


# tickets over HTTP


def test_a_ticket_needs_a_session(http: httpx.Client) -> None:
    """Without credentials, with wrong ones, and with a ticket in place of a session."""
    ticket = http.post("/ticket", headers=BEARER).json()["ticket"]
    for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": f"Bearer {ticket}"}):
        answer = http.post("/ticket", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_bearer_token_gets_a_ticket(server: BackgroundServer, http: httpx.Client) -> None:
    """The ticket opens one connection, and no second."""
    answer = http.post("/ticket", headers=BEARER)
    assert answer.headers["Cache-Control"] == "no-store"
    ticket = answer.json()
    assert (ticket["user"], ticket["expires_in"]) == ("ana", 30)
    assert knock(server, f"/ws?ticket={ticket['ticket']}") == WELCOME
    assert knock(server, f"/ws?ticket={ticket['ticket']}") == "HTTP 401"
    assert knock(server, f"/ws?ticket={ticket['ticket']}", origin=own(server)) == "closed 4001"


def test_a_foreign_page_does_not_use_up_a_ticket(server: BackgroundServer, http: httpx.Client) -> None:
    """The origin is looked at before the ticket."""
    path = f"/ws?ticket={http.post('/ticket', headers=BEARER).json()['ticket']}"
    assert knock(server, path, origin=STRANGER) == "closed 4003"
    assert knock(server, path, origin=PAGE) == WELCOME


def test_the_lifetime_of_a_ticket_is_a_setting() -> None:
    """And the client is told."""
    with chat(ticket_seconds=7) as room:
        answer = httpx.post(room.server.http("/ticket"), headers=BEARER, trust_env=False)
    assert answer.json()["expires_in"] == 7


# the demo login


def test_the_login_is_off_unless_asked_for() -> None:
    """No setting, no route."""
    with chat() as room:
        assert httpx.post(room.server.http("/login"), json={"name": "ana"}, trust_env=False).status_code == 405


def test_a_name_is_enough_to_log_in(server: BackgroundServer, http: httpx.Client) -> None:
    """The cookie is kept from scripts and from other sites, and gets a ticket under this name."""
    answer = http.post("/login", json={"name": "  Ana Müller "})
    assert answer.status_code == 204
    cookie = answer.headers["Set-Cookie"]
    assert "; HttpOnly" in cookie
    assert "; SameSite=strict" in cookie
    assert "Path" not in cookie, "behind a proxy, only the browser knows the folder"
    assert "Secure" not in cookie, "over plain HTTP a browser would drop it"
    ticket = http.post("/ticket").json()
    assert ticket["user"] == "Ana Müller"
    assert knock(server, f"/ws?ticket={ticket['ticket']}") == WELCOME.replace("ana", "Ana Müller")


def test_logging_out_deletes_the_cookie(http: httpx.Client) -> None:
    """Then there are no tickets any more."""
    http.post("/login", json={"name": "ana"})
    assert http.delete("/login").status_code == 204
    assert COOKIE not in http.cookies
    assert http.post("/ticket").status_code == 401


@pytest.mark.parametrize(
    "name", ["", " ", "x" * 33, "a\nb", "a\tb", "<b>", "-a", "a\u202eb", "a\u200db", "a\u3164", None, 7, {"a": 1}]
)
def test_an_invalid_name_is_refused(http: httpx.Client, name: Any) -> None:
    """No control characters, nothing that turns text around, nothing endless."""
    assert http.post("/login", json={"name": name}).status_code == 422
    assert COOKIE not in http.cookies


@pytest.mark.parametrize("name", ["a", "李小龙", "O'Neil", "J. R. R.", "user_7", "x" * 32])
def test_names_in_many_alphabets_are_accepted(http: httpx.Client, name: str) -> None:
    """Whatever the alphabet."""
    http.post("/login", json={"name": name})
    assert http.post("/ticket").json()["user"] == name


def test_other_sites_cannot_use_the_routes(http: httpx.Client) -> None:
    """Neither log somebody in or out nor get a ticket; the server's own pages and listed ones can."""
    http.post("/login", json={"name": "ana"})
    for origin, status in [(STRANGER, 403), ("null", 403), (PAGE, 200), (str(http.base_url).rstrip("/"), 200)]:
        assert http.post("/ticket", headers={"Origin": origin}).status_code == status
    assert http.post("/login", json={"name": "ben"}, headers={"Origin": STRANGER}).status_code == 403
    assert http.delete("/login", headers={"Origin": STRANGER}).status_code == 403
    assert http.post("/ticket").json()["user"] == "ana"


def test_a_form_of_another_site_cannot_log_a_user_in(http: httpx.Client) -> None:
    """A form can send text, but not JSON, without asking first."""
    answer = http.post("/login", content='{"name":"ben"}', headers={"Content-Type": "text/plain"})
    assert answer.status_code == 422


# how often


def test_a_user_who_asks_for_too_many_tickets_has_to_wait() -> None:
    """Whatever the address; others get theirs, and the next life of the app begins anew."""
    ben = {"Authorization": f"Bearer {issue_session('ben', key=KEY, seconds=3600)}"}
    app = create_app(Settings(key=SecretStr(KEY), tickets_per_second=0.25, ticket_burst=2))
    for _ in range(2):
        with serve(app) as server, httpx.Client(base_url=server.http(), trust_env=False) as http:
            assert [http.post("/ticket", headers=BEARER).status_code for _ in range(2)] == [200, 200]
            refused = http.post("/ticket", headers=BEARER)
            assert (refused.status_code, refused.headers["Retry-After"]) == (429, "4")
            assert http.post("/ticket", headers=ben).status_code == 200
            assert http.post("/ticket").status_code == 401


def test_an_address_that_logs_in_too_often_has_to_wait() -> None:
    """Whatever the names, and in IPv6 whatever the second half of the address; other addresses can log in."""
    options: dict[str, Any] = {"proxy_headers": True, "forwarded_allow_ips": "127.0.0.1"}
    limits: dict[str, Any] = {"logins_per_second": 0.25, "login_burst": 1}
    with (
        serve(create_app(Settings(demo_login=True, **limits)), **options) as server,
        httpx.Client(base_url=server.http(), trust_env=False) as http,
    ):

        def log_in(name: str, address: str) -> int:
            return http.post("/login", json={"name": name}, headers={"X-Forwarded-For": address}).status_code

        assert log_in("ana", "192.0.2.1") == 204
        assert log_in("ben", "192.0.2.1") == 429
        assert log_in("ben", "192.0.2.2") == 204
        assert log_in("ana", "2001:db8::1") == 204
        assert log_in("ben", "2001:db8::ffff:0:1") == 429
        assert log_in("ben", "2001:db8:0:1::1") == 204
        assert log_in("ana", "::ffff:192.0.2.3") == 204
        assert log_in("ana", "::ffff:192.0.2.4") == 204


# the door of the WebSocket


def test_a_program_shows_its_token_in_a_header(server: BackgroundServer) -> None:
    """It needs no ticket."""
    assert knock(server, additional_headers=BEARER) == WELCOME
    assert knock(server, additional_headers={"Authorization": "Bearer x"}) == "HTTP 401"
    assert knock(server) == "HTTP 401"


def test_a_session_token_in_the_address_is_refused(server: BackgroundServer) -> None:
    """It is good for hours, and addresses end up in logs."""
    assert knock(server, f"/ws?ticket={ANA}") == "HTTP 401"


def test_a_ticket_in_a_header_is_refused(server: BackgroundServer, http: httpx.Client) -> None:
    """In a header or in the cookie it proves nothing, and with a header beside it the ticket is not looked at."""
    ticket = http.post("/ticket", headers=BEARER).json()["ticket"]
    assert knock(server, additional_headers={"Authorization": f"Bearer {ticket}"}) == "HTTP 401"
    assert knock(server, origin=own(server), additional_headers={"Cookie": f"{COOKIE}={ticket}"}) == "closed 4001"
    assert knock(server, f"/ws?ticket={ticket}", additional_headers={"Authorization": "Bearer x"}) == "HTTP 401"
    assert knock(server, f"/ws?ticket={ticket}") == WELCOME


def test_basic_authentication_does_not_replace_the_cookie(server: BackgroundServer, http: httpx.Client) -> None:
    """A browser that logged in to a proxy sends that header with everything; its ticket and its cookie still count."""
    basic = {"Authorization": "Basic YW5hOnNlY3JldA=="}
    http.cookies.set(COOKIE, ANA)
    ticket = http.post("/ticket", headers=basic).json()["ticket"]
    assert knock(server, f"/ws?ticket={ticket}", additional_headers=basic) == WELCOME
    assert knock(server, f"/ws?ticket={ANA}", additional_headers=basic) == "HTTP 401"
    cookie = basic | {"Cookie": f"{COOKIE}={ANA}"}
    assert knock(server, origin=own(server), additional_headers=cookie) == WELCOME


def test_a_cookie_counts_only_with_an_origin(server: BackgroundServer) -> None:
    """A browser sends the cookie for any page, so a page of another site with your cookie is refused."""
    cookie = {"Cookie": f"{COOKIE}={ANA}"}
    assert knock(server, origin=own(server), additional_headers=cookie) == WELCOME
    assert knock(server, origin=PAGE, additional_headers=cookie) == WELCOME
    assert knock(server, origin=STRANGER, additional_headers=cookie) == "closed 4003"
    assert knock(server, additional_headers=cookie) == "HTTP 401"


@pytest.mark.parametrize(
    ("who", "refusal"),
    [
        ({}, "HTTP 503"),
        ({"origin": PAGE}, "closed 1012"),
    ],
    ids=["program", "page"],
)
def test_a_used_ticket_stays_used_after_a_restart(who: dict[str, Any], refusal: str) -> None:
    """Used or not, its client is asked to try again, and not to log in again."""

    def ticket(of: BackgroundServer) -> str:
        with httpx.Client(base_url=of.http(), timeout=DEADLINE, trust_env=False) as client:
            return f"/ws?ticket={client.post('/ticket', headers=BEARER).json()['ticket']}"

    with chat(origins=(PAGE,)) as room:
        port = room.server.port
        used, unused = ticket(room.server), ticket(room.server)
        assert "welcome" in knock(room.server, used, **who)
    with chat(origins=(PAGE,), port=port) as room:
        for path in (used, unused):
            assert knock(room.server, path, **who) == refusal
        assert "welcome" in knock(room.server, ticket(room.server), **who)
