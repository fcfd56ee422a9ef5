"""The app as a whole: its one manager, its lives, and the page that it serves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

import server.app
from server import serve
from server.app import create_app
from server.manager import Manager
from server.messages import ChatMessage
from server.settings import Settings
from tests.server.people import KEY, Chat, Person, chat

STATIC = Path(server.app.__file__).parent / "static"


@pytest.fixture
def room() -> Iterator[Chat]:
    """The chat with its defaults."""
    with chat() as open_chat:
        yield open_chat


def test_any_route_can_push() -> None:
    """The app's manager is at hand for the rest of the app."""
    app = create_app(Settings(key=SecretStr(KEY)))
    inner: Manager = app.state.manager

    outer = FastAPI(lifespan=app.router.lifespan_context)

    @outer.post("/push/{user}")
    async def push(user: str) -> int:
        return inner.to_user(user, ChatMessage(room="news", user="server", text="ding"))

    outer.mount("/", app)
    with serve(outer) as server, Person(server, "ana") as ana:
        assert httpx.post(server.http("/push/ana"), trust_env=False).json() == 1
        assert httpx.post(server.http("/push/ben"), trust_env=False).json() == 0
        assert ana.receive("message")["text"] == "ding"


def test_a_mounted_app_without_its_lifespan_says_how_to_mount_it() -> None:
    """FastAPI runs the lifespan of the outermost app only; the log names the remedy, and the client gets a 500."""
    outer = FastAPI()
    outer.mount("/", create_app(Settings(key=SecretStr(KEY))))
    with serve(outer) as server:
        with pytest.raises(InvalidStatus, match="500"):
            Person(server, "ana")
        [failure] = [record.exc_info[1] for record in server.log if record.exc_info]
        assert "lifespan=app.router.lifespan_context" in str(failure)


def test_an_app_that_is_served_again_has_no_ghosts() -> None:
    """Whoever was in the grace time when the server stopped is not present in its next life."""
    app = create_app(Settings(key=SecretStr(KEY), grace_seconds=30, message_burst=2, messages_per_second=0.001))
    with serve(app) as server, Person(server, "ana") as ana:
        ana.say("my last word")
        server.stop()
    with serve(app) as server, Person(server, "ben", room=None) as ben, Person(server, "ana") as ana:
        ben.send(type="join", room="lobby")
        assert ben.receive("presence")["users"] == ["ana", "ben"]
        assert ana.receive("presence")["joined"] == ["ben"]


def test_no_page_runs_scripts_of_another_host(room: Chat) -> None:
    """FastAPI's pages of the routes do; what they are drawn from is there, and leads to the page of the messages."""
    with httpx.Client(base_url=room.server.http(), trust_env=False) as client:
        for path in ("/docs", "/redoc", "/docs/oauth2-redirect"):
            assert client.get(path).status_code == 404
        assert "/docs/messages/" in client.get("/openapi.json").json()["info"]["description"]
        assert client.get("/docs/messages/").status_code == 200


# the page


def test_the_page_is_served_with_its_files(room: Chat) -> None:
    """Everything that it names is there, and nothing of it comes from anywhere else or stands in the page itself."""
    with httpx.Client(base_url=room.server.http(), trust_env=False) as client:
        page = client.get("/").text
        assert page == (STATIC / "index.html").read_text()
        names = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert names
        for name in names:
            assert not re.match("/|[a-z]+:", name), "behind a proxy the page is in a folder"
            assert client.get(f"/{name}").status_code == 200
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=", page)


def test_the_page_blocks_scripts_and_frames_of_other_sites() -> None:
    """Other people's scripts, frames, guesses at types, and the address of the page at theirs."""
    with chat(origins=("https://lab.example",)) as room:
        headers = httpx.get(room.server.http(), trust_env=False).headers
    policy = dict(rule.split(" ", 1) for rule in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'self' https://lab.example"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-cache"


def test_an_origin_beyond_ascii_fits_into_a_header() -> None:
    """As browsers write it."""
    with chat(origins=("https://例え.example:8443",)) as room:
        answer = httpx.get(room.server.http(), trust_env=False)
    assert answer.status_code == 200
    assert "frame-ancestors 'self' https://xn--r8jz45g.example:8443" in answer.headers["Content-Security-Policy"]


def test_the_page_never_uses_inner_html() -> None:
    """What people write is text for a browser, and never markup."""
    for script in STATIC.glob("*.js"):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script.read_text())


def test_a_websocket_on_another_path_is_refused(room: Chat) -> None:
    """The files of the page do not answer it with an exception."""
    with pytest.raises(InvalidStatus, match="HTTP 403"):
        connect(room.server.url("/else"), proxy=None).__enter__()
    assert not [record for record in room.server.log if record.exc_info]
