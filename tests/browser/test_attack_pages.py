"""Pages of others in a real Chromium, opened by somebody who is logged in here."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from playwright.sync_api import Browser, Page, expect

from server import BackgroundServer, serve
from tests.attack.target import Target

CONNECT = """address => new Promise(done => {
    const heard = []
    const socket = new WebSocket(address)
    socket.onmessage = event => { heard.push(event.data); socket.close() }
    socket.onclose = event => done({code: event.code, heard})
})"""
POST = """async ([address, path, body]) => {
    const answer = await fetch(address + path, {method: "POST", body, mode: "no-cors", credentials: "include"})
    return answer.type
}"""
LOGIN = """() => fetch("login", {
    method: "POST", headers: {"Content-Type": "application/json"}, body: '{"name":"mallory"}'
}).then(answer => answer.status)"""
READ = """address => fetch(address, {credentials: "include"}).then(answer => answer.text(), () => "refused")"""
SANDBOX = """address => new Promise(done => {
    addEventListener("message", event => done(event.data))
    const frame = document.createElement("iframe")
    frame.sandbox = "allow-scripts"
    frame.srcdoc = `<script>
        const socket = new WebSocket("${address}")
        socket.onmessage = event => parent.postMessage(event.data, "*")
        socket.onclose = event => parent.postMessage(event.code, "*")
    <${"/"}script>`
    document.body.append(frame)
})"""


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    """The server with its own limits, and the demo login."""
    with Target(demo_login=True) as target:
        yield target


@pytest.fixture(scope="module")
def elsewhere() -> FastAPI:
    """The app of somebody else, with an empty page."""
    app = FastAPI()
    app.get("/", response_class=HTMLResponse)(lambda: "<!doctype html><title>A prize for you</title><body>")
    return app


@pytest.fixture
def foreign(elsewhere: FastAPI) -> Iterator[BackgroundServer]:
    """Their server, on another port of this machine."""
    with serve(elsewhere) as server:
        yield server


@pytest.fixture
def victim(browser: Browser, target: Target) -> Iterator[Page]:
    """The browser of somebody who is logged in, with a tab that shows the chat."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(home(target))
    assert (
        page.evaluate(
            "fetch('/login', {method: 'POST', body: '{\"name\":\"victim\"}', headers: "
            "{'Content-Type': 'application/json'}}).then(answer => answer.status)"
        )
        == 204
    )
    yield page
    context.close()


def home(target: Target, scheme: str = "http") -> str:
    """The address of the server under attack."""
    return f"{scheme}://127.0.0.1:{target.port}"


def test_the_victim_is_logged_in(victim: Page, target: Target) -> None:
    """Their own page gets in with the cookie, so what is refused below is refused for its origin."""
    answer = victim.evaluate(CONNECT, f"{home(target, 'ws')}/ws")
    assert '"user":"victim"' in answer["heard"][0]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "lab.test"])
def test_another_page_cannot_connect_with_the_victims_cookie(
    victim: Page, target: Target, foreign: BackgroundServer, host: str
) -> None:
    """Another port of the same host, which a browser sends the cookie from, and two other sites."""
    page = victim.context.new_page()
    page.goto(f"http://{host}:{foreign.port}/")
    assert page.evaluate(CONNECT, f"{home(target, 'ws')}/ws") == {"code": 4003, "heard": []}


def test_a_sandboxed_frame_cannot_connect(victim: Page, target: Target, foreign: BackgroundServer) -> None:
    """Its origin is null, which anybody's can be."""
    page = victim.context.new_page()
    page.goto(foreign.http())
    assert page.evaluate(SANDBOX, f"{home(target, 'ws')}/ws") == 4003


def test_another_page_can_neither_log_in_nor_out_nor_read(
    victim: Page, target: Target, foreign: BackgroundServer
) -> None:
    """A form's kind of request changes nothing, and an answer is never readable."""
    page = victim.context.new_page()
    page.goto(foreign.http())
    for path, body in (("/login", '{"name":"mallory"}'), ("/ticket", ""), ("/notifications/read", "{}")):
        assert page.evaluate(POST, [home(target), path, body]) == "opaque"
        assert re.search(rf'"POST {path} HTTP/1.1" 4(03|22)', target.log)
    for path in ("/notifications", "/notifications/stream", "/ticket"):
        assert page.evaluate(READ, home(target) + path) == "refused"
    answer = victim.evaluate(CONNECT, f"{home(target, 'ws')}/ws")
    assert '"user":"victim"' in answer["heard"][0]


def test_another_page_cannot_frame_ours(victim: Page, target: Target, foreign: BackgroundServer) -> None:
    """So nobody clicks on what they do not see (Content-Security-Policy: frame-ancestors)."""
    page = victim.context.new_page()
    page.goto(foreign.http())
    with page.expect_console_message(lambda message: "frame-ancestors" in message.text):
        page.evaluate(
            "address => { const f = document.createElement('iframe'); f.src = address; document.body.append(f) }",
            f"{home(target)}/",
        )
    assert all("chat" not in frame.content().lower() for frame in page.frames[1:])


def test_under_a_foreign_name_nobody_is_logged_in(victim: Page, target: Target) -> None:
    """DNS rebinding: a name that suddenly leads here has an origin that looks right, no cookie, and is not ours."""
    page = victim.context.new_page()
    page.goto(f"http://lab.test:{target.port}/")
    answer = page.evaluate(CONNECT, f"ws://lab.test:{target.port}/ws")
    assert answer == {"code": 4003, "heard": []}


def test_a_name_that_is_none_of_the_servers_logs_nobody_in(browser: Browser) -> None:
    """DNS rebinding where anybody may log in: the page says why, and what an operator of an honest name can do."""
    context = browser.new_context()
    with Target(demo_login=True, hosts=("chat.example",)) as target, context:
        page = context.new_page()
        page.goto(f"http://lab.test:{target.port}/")
        expect(
            page.get_by_text("'lab.test' is not a name of this server that it knows; add it with --hosts")
        ).to_be_visible()
        assert page.evaluate(LOGIN) == 403
        assert context.cookies() == []
