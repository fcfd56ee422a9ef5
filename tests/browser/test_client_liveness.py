"""The browser client and paths that swallow everything: its half in the page, with a clock that the test moves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse, HTMLResponse
from lab import BrowserClient, Tap
from playwright.sync_api import Browser, Page

from server import BackgroundServer, serve
from server.testing.tapped_connection import Direction

from .test_page import stop_clock
from .test_page_liveness import WAKING

LIMIT = 20_000  # milliseconds; a pane asks after half of it
HANDSHAKE = 10_000
DEADLINE = 60.0  # seconds
SCRIPT = Path(__file__).parents[2] / "notebooks" / "lab" / "clients" / "browser.js"
PAGE = """<!doctype html><title>A pane</title><main></main>
<script type="module">
  import widget from "./browser.js";
  window.show = (values) => {
    const model = { get: (name) => values[name], on() {}, send() {} };
    const { initialize, render } = widget();
    initialize({ model });
    window.remove = render({ model, el: document.querySelector("main") });
  };
</script>"""

Show = Callable[..., "Pane"]


class Pane:
    """A client's pane in a page without a notebook around it."""

    def __init__(self, page: Page, client: BrowserClient) -> None:
        self.page = page
        self.state = page.get_by_role("status")
        self.log = page.get_by_role("log")
        values = {name: value for name, value in client.get_state().items() if name not in ("_esm", "_css")}
        page.evaluate("values => show(values)", values)

    def until(self, state: str) -> None:
        """Wait for a state of the socket."""
        self._wait(lambda: self.state.text_content() == state, f"not {state}")

    def logs(self, text: str) -> None:
        """Wait for a line of the log."""
        self._wait(lambda: text in (self.log.text_content() or ""), f"not in the log: {text}")

    def _wait(self, done: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + DEADLINE
        while not done():
            assert time.monotonic() < deadline, f"{what}; the log is {self.log.text_content()!r}"
            self.page.clock.run_for(30)  # the pane is updated a moment after its socket

    def passes(self, milliseconds: int) -> None:
        """Let time pass."""
        self.page.clock.run_for(milliseconds)


@pytest.fixture
def server() -> Iterator[BackgroundServer]:
    """The page of the pane, and an endpoint that only answers."""
    app = FastAPI()

    @app.get("/", response_class=HTMLResponse)
    def page() -> str:
        return PAGE

    @app.get("/browser.js")
    def script() -> FileResponse:
        return FileResponse(SCRIPT, media_type="text/javascript")

    @app.websocket("/ws")
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            while (text := await websocket.receive_text()) != "spam":
                await websocket.send_text(f"heard {text}")
            await websocket.close(4002)
        except WebSocketDisconnect:
            pass

    with serve(app) as server:
        yield server


@pytest.fixture
def tap(server: BackgroundServer) -> Iterator[Tap]:
    """The path to the server."""
    with Tap(server) as path:
        yield path


@pytest.fixture
def show(browser: Browser, server: BackgroundServer, tap: Tap) -> Iterator[Show]:
    """Show a client with these options; the page's clock stands still, and no delay is left to chance."""
    context = browser.new_context()
    page = context.new_page()
    page.clock.install()
    page.goto(server.http())
    page.wait_for_function("'show' in window")
    stop_clock(page)
    page.evaluate("Math.random = () => 1")  # a delay of nothing would be over before anybody sees that it waits

    def shown(**options: Any) -> Pane:
        return Pane(page, BrowserClient(tap, **options))

    yield shown
    context.close()


def pings(tap: Tap) -> int:
    """How many questions have been answered."""
    return sum(frame.text == "heard ping" for frame in tap.frames)


def opened(tap: Tap) -> int:
    """How many connections there have been."""
    return len(tap.conversations)


@pytest.mark.parametrize("direction", [None, "server"], ids=["both directions", "answers only"])
def test_a_dead_path_is_noticed_and_another_taken(show: Show, tap: Tap, direction: Direction | None) -> None:
    """Nothing passes any more: the browser keeps the socket open, and the pane gives it up."""
    pane = show(reconnect=True, idle_timeout=20, ping="ping")
    pane.until("open")
    tap.cut(direction)
    pane.passes(LIMIT - 2_000)
    pane.until("open")
    pane.passes(2_000)
    pane.logs("nothing came for 20 s")
    pane.until("waiting")
    tap.mend()
    pane.passes(500)
    pane.until("open")
    assert opened(tap) == 2


def test_without_reconnect_the_pane_says_so_and_stops(show: Show, tap: Tap) -> None:
    """The reader decides whether to connect again."""
    pane = show(idle_timeout=20, ping="ping")
    pane.until("open")
    tap.cut()
    pane.passes(LIMIT)
    pane.logs("nothing came for 20 s")
    pane.until("closed")
    assert opened(tap) == 1


def test_a_quiet_healthy_connection_stays(show: Show, tap: Tap) -> None:
    """The server answers each question, and the connection is still the first."""
    pane = show(reconnect=True, idle_timeout=20, ping="ping")
    pane.until("open")
    for times in range(1, 4):
        pane.passes(LIMIT // 2 + 1_000)
        tap.wait(lambda path, times=times: pings(path) == times)  # type: ignore[misc]
        pane.until("open")
    assert opened(tap) == 1


def test_without_a_limit_silence_ends_nothing(show: Show, tap: Tap) -> None:
    """An echo says nothing for an hour, by design."""
    pane = show(reconnect=True)
    pane.until("open")
    pane.passes(3_600_000)
    pane.until("open")
    assert opened(tap) == 1
    assert not tap.frames


def test_without_a_question_the_server_must_speak(show: Show, tap: Tap) -> None:
    """A message from the server begins the limit anew."""
    pane = show(idle_timeout=20)
    pane.until("open")
    pane.passes(LIMIT - 5_000)
    pane.page.get_by_label("Message").fill("hello")
    pane.page.get_by_label("Message").press("Enter")
    pane.logs("heard hello")
    pane.passes(LIMIT - 5_000)
    pane.until("open")
    pane.passes(5_000)
    pane.until("closed")
    pane.logs("nothing came for 20 s")


def test_a_handshake_is_not_waited_for_without_end(show: Show, tap: Tap) -> None:
    """Somebody accepts the connection, and says nothing; also without a limit for silence."""
    tap.cut()
    pane = show(reconnect=True)
    pane.until("connecting")
    pane.passes(HANDSHAKE)
    pane.logs("nothing came for 10 s")
    pane.until("waiting")


@pytest.mark.parametrize("event", WAKING.values(), ids=WAKING)
def test_a_page_that_was_away_asks_at_once(show: Show, tap: Tap, event: str) -> None:
    """What was true before may be so no longer: another network, a frozen page, a machine that slept."""
    pane = show(reconnect=True, idle_timeout=20, ping="ping")
    pane.until("open")
    tap.cut()
    pane.page.evaluate(event)
    pane.passes(LIMIT // 2 + 1_000)
    pane.logs("nothing came for 20 s")


def test_a_machine_that_slept_asks_before_it_gives_up(show: Show, tap: Tap) -> None:
    """Its timers stood still, and its clock has jumped by an hour: the connection may have survived."""
    pane = show(idle_timeout=20, ping="ping")
    pane.until("open")
    pane.page.clock.set_system_time(pane.page.evaluate("Date.now() / 1_000 + 3_600"))
    pane.passes(1_100)
    tap.wait(lambda path: pings(path) == 1)
    pane.logs("heard ping")
    pane.until("open")
    tap.cut()
    pane.page.clock.set_system_time(pane.page.evaluate("Date.now() / 1_000 + 3_600"))
    pane.passes(1_100 + LIMIT // 2)
    pane.logs("nothing came for 20 s")
    assert (opened(tap), pings(tap)) == (1, 1)


@pytest.mark.parametrize("event", WAKING.values(), ids=WAKING)
def test_a_client_that_waits_tries_at_once(show: Show, tap: Tap, event: str) -> None:
    """The page's clock stands still, so it is the event that ends the wait."""
    pane = show(reconnect=True)
    pane.until("open")
    tap.reset()
    pane.until("waiting")
    pane.page.evaluate(event)
    tap.wait(lambda path: opened(path) == 2)
    pane.until("open")


def test_a_client_that_said_too_much_is_silent_for_a_while(show: Show, tap: Tap) -> None:
    """4002 is not final: the client comes back after half a minute, and no event shortens that."""
    pane = show(reconnect=True)
    pane.until("open")
    pane.page.get_by_label("Message").fill("spam")
    pane.page.get_by_label("Message").press("Enter")
    pane.logs("code 4002")
    pane.logs("(chosen between 30 and 35 s)")
    pane.until("waiting")
    for event in WAKING.values():
        pane.page.evaluate(event)
    pane.passes(29_000)
    pane.until("waiting")
    pane.passes(6_000)
    pane.until("open")
    assert opened(tap) == 2


def listeners(page: Page) -> int:
    """How many listeners the page's window and document have, as the browser's debugger counts them."""
    session = page.context.new_cdp_session(page)
    count = 0
    for target in ("window", "document"):
        found = session.send("Runtime.evaluate", {"expression": target})["result"]["objectId"]
        count += len(session.send("DOMDebugger.getEventListeners", {"objectId": found})["listeners"])
    return count


def test_a_pane_that_is_removed_leaves_no_listener(show: Show, tap: Tap) -> None:
    """A cell runs a hundred times in a day, and each pane of it goes without a trace."""
    pane = show(reconnect=True, idle_timeout=20, ping="ping")
    pane.until("open")
    there = listeners(pane.page)
    pane.page.evaluate("remove()")
    assert listeners(pane.page) == there - len(WAKING)
    assert tap.wait(lambda path: path.conversations[0].close_code) == 1000
