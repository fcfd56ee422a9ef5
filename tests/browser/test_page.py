"""The chat page in a real Chromium: people who meet, talk, lose the connection and come back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from lab.tap.tap import Tap
from playwright.sync_api import Browser, BrowserContext, Error, Page, Request, WebSocket, expect
from pydantic import SecretStr

from server import BackgroundServer, serve
from server.app import create_app
from server.messages import CloseCode
from server.settings import Settings

from .conftest import SCREENSHOTS

KEY = SecretStr("a secret of thirty-two characters")
DEADLINE = 15_000  # milliseconds
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 800}, "has_touch": True, "is_mobile": True}
DESK: dict[str, Any] = {"viewport": {"width": 1180, "height": 760}}
AN_HOUR = 3_600_000  # milliseconds
AXE = files("axe_playwright_python").joinpath("axe.min.js")


class Visitor:
    """Somebody who uses the page, by what it is called rather than by how it is built."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.page: Page = context.new_page()
        self.page.set_default_timeout(DEADLINE)
        self.errors: list[str] = []
        self.tickets = 0  # that the page has asked for
        self.frames: list[str] = []  # that the page has received, over all its connections
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", self._note)
        self.page.on("websocket", self._follow)
        self.page.goto(address)

    def _note(self, request: Request) -> None:
        self.tickets += request.url.endswith("/ticket")

    def _follow(self, socket: WebSocket) -> None:
        self._socket = socket
        socket.on("framereceived", lambda payload: self.frames.append(str(payload)))

    def received(self, word: str) -> int:
        """Return how many messages with this word the page has received."""
        return sum(word in frame for frame in self.frames)

    def until_received(self, word: str, times: int = 1) -> None:
        """Wait until the page itself has handled so many of them; a tap sees them before."""
        if self.received(word) < times:
            self._socket.wait_for_event("framereceived", lambda _: self.received(word) >= times, timeout=DEADLINE)
        self.page.evaluate("0")  # runs after the task in which the page handles the message

    @property
    def log(self) -> Any:
        """The messages of the room that is shown."""
        return self.page.get_by_role("log", name="Messages")

    @property
    def people(self) -> Any:
        """Who is in the room that is shown."""
        return self.page.get_by_role("complementary").get_by_role("listitem").locator(".name")

    @property
    def message(self) -> Any:
        """The field for a message."""
        return self.page.get_by_label("Message", exact=True)

    def log_in(self, name: str) -> None:
        """Type a name and press Enter."""
        expect(self.page.get_by_label("Your name")).to_be_focused()
        self.page.get_by_label("Your name").fill("")
        self.page.keyboard.type(name)
        self.page.keyboard.press("Enter")
        self.until("online")

    def hurry(self) -> None:
        """Let its waits before it tries again be short, and not spread at random."""
        self.page.evaluate("Math.random = () => 0.1")

    def until(self, state: str) -> None:
        """Wait until the page says that it is online or offline."""
        expect(self.page.get_by_role("status")).to_have_text(state)

    def say(self, text: str) -> None:
        """Write a message and press Enter."""
        self.message.fill(text)
        self.message.press("Enter")

    def hears(self, text: str) -> None:
        """Wait until it stands in the log."""
        expect(self.log).to_contain_text(text)

    def rooms(self) -> Any:
        """Return the rooms that this browser keeps for the next visit."""
        return self.page.evaluate("JSON.parse(localStorage.getItem('chat.rooms'))")

    def keep_rooms(self, rooms: list[str], *, after: Sequence[str] = ("lobby",)) -> None:
        """Let this browser keep these rooms, as if they had been joined at an earlier visit.

        The page writes its own list when a join is answered, so wait until it has written that of `after`.
        """
        self.page.wait_for_function("kept => localStorage.getItem('chat.rooms') === JSON.stringify(kept)", arg=after)
        self.page.evaluate("rooms => localStorage.setItem('chat.rooms', JSON.stringify(rooms))", rooms)

    def join(self, room: str) -> None:
        """Open the dialog, type the name of a room and press Enter."""
        self.page.get_by_role("button", name="Join a room").click()
        self.page.keyboard.type(room)
        self.page.keyboard.press("Enter")
        expect(self.page.get_by_role("heading", level=1)).to_have_text(room)


def stop_clock(page: Page) -> None:
    """Let the page's clock, which the test has installed, stand still from the next second on."""
    while True:
        try:
            page.clock.pause_at(page.evaluate("Date.now() / 1_000 + 1"))
        except Error as error:  # on a busy machine that second is over before the page hears of it
            if "to the past" not in error.message:
                raise
        else:
            return


Visit = Callable[..., Visitor]


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Opens the page in a browser of its own, under a name; no page may have failed by the end."""
    contexts: list[BrowserContext] = []
    visitors: list[Visitor] = []

    def open_page(where: BackgroundServer | str, name: str | None, **options: Any) -> Visitor:
        contexts.append(browser.new_context(**(DESK | options)))
        visitors.append(Visitor(contexts[-1], where if isinstance(where, str) else where.http()))
        if name is not None:
            visitors[-1].log_in(name)
        return visitors[-1]

    yield open_page
    errors = [error for visitor in visitors for error in visitor.errors]
    for context in contexts:
        context.close()
    assert errors == []


@contextmanager
def chat(**settings: Any) -> Iterator[BackgroundServer]:
    """Serve the chat with the demo login."""
    with serve(app(**settings)) as server:
        yield server


def app(**settings: Any) -> FastAPI:
    """The chat with the demo login and a short grace time."""
    options: dict[str, Any] = {"key": KEY, "demo_login": True, "grace_seconds": 0.1}
    return create_app(Settings(**(options | settings)))


@pytest.fixture
def server() -> Iterator[BackgroundServer]:
    """The chat with its defaults."""
    with chat() as running:
        yield running


def test_two_people_talk(server: BackgroundServer, visit: Visit) -> None:
    """Each hears the other, and sees that the other types, until the message is there."""
    ana, ben = visit(server, "Ana"), visit(server, "Ben")
    expect(ana.people).to_have_text(["Ana (you)", "Ben"])
    expect(ben.people).to_have_text(["Ben (you)", "Ana"])
    ben.message.click()
    ben.page.keyboard.type("hel")
    expect(ana.page.get_by_text("Ben is typing")).to_be_visible()
    ben.page.keyboard.type("lo")
    ben.page.keyboard.press("Enter")
    ana.hears("hello")
    expect(ana.page.get_by_text("Ben is typing")).to_have_count(0)
    ana.say("good morning")
    for person in (ana, ben):
        expect(person.log.locator(".text")).to_have_text(["hello", "good morning"])
        expect(person.log.locator(".sent:not(:empty)")).to_have_count(0)


def test_people_are_seen_to_come_and_go(server: BackgroundServer, visit: Visit) -> None:
    """In the list and in the log; a page that is closed has left after the grace time."""
    ana = visit(server, "Ana")
    expect(ana.page.get_by_role("heading", name="Here now")).to_have_text("Here now · 1")
    ben = visit(server, "Ben")
    ana.hears("Ben joined")
    expect(ana.people).to_have_count(2)
    ben.page.close()
    ana.hears("Ben left")
    expect(ana.people).to_have_text(["Ana (you)"])


def test_a_page_that_reloads_stays(visit: Visit) -> None:
    """The session is in its cookie, the rooms are kept, and the others see nothing of it."""
    with chat(grace_seconds=30) as server:
        ana, ben = visit(server, "Ana"), visit(server, "Ben")
        ben.join("kitchen")
        ben.page.reload()
        ben.until("online")
        expect(ben.page.get_by_role("heading", level=1)).to_have_text("kitchen")
        ben.page.get_by_role("button", name="lobby").click()
        ben.say("back again")
        ana.hears("back again")
        expect(ana.log.locator(".note")).to_have_text(["Ben joined"])


def test_two_windows_keep_the_rooms_of_both(server: BackgroundServer, visit: Visit) -> None:
    """What one of them joins or leaves is not undone by the other."""
    ana = visit(server, "Ana")
    other = Visitor(ana.page.context, server.http())
    other.until("online")
    ana.join("kitchen")
    ana.until_received('"joined"', 2)
    other.join("garden")
    other.until_received('"joined"', 2)
    assert ana.rooms() == ["lobby", "kitchen", "garden"]
    ana.page.get_by_role("button", name="Leave").click()
    assert ana.rooms() == ["lobby", "garden"]
    assert other.errors == []


def test_both_come_back_after_a_restart(visit: Visit) -> None:
    """Nobody touches anything: the pages log in with their cookie, join again, and talk."""
    served = app()
    with serve(served) as first:
        port = first.port
        ana, ben = visit(first, "Ana"), visit(first, "Ben")
        ana.hurry()
        ben.hurry()
        ana.say("before")
        ben.hears("before")
    for person in (ana, ben):
        person.until("offline")
        expect(person.page.get_by_role("button", name="Send")).to_be_disabled()
        expect(person.page.get_by_role("alert").filter(has_text="The connection is lost")).to_be_visible()
    with serve(served, port=port):
        for person in (ana, ben):
            person.until("online")
            person.hears("have expired")
            expect(person.people).to_have_count(2)
            expect(person.page.get_by_text("The connection is lost")).to_be_hidden()
        ben.say("after")
        ana.hears("after")


def test_nothing_is_lost_or_doubled_by_a_restart(visit: Visit, tmp_path: Path) -> None:
    """What was said while a page was away is shown when it is back; what nobody has answered is said again, once."""
    broker = f"sqlite:{tmp_path / 'log.sqlite'}"
    with chat(broker=broker) as first, Tap(first) as tap:
        ana, ben = visit(tap.http(), "Ana"), visit(first, "Ben")
        ana.hurry()
        ben.hurry()
        ana.say("before")
        ben.hears("before")
        expect(ana.log.locator("[data-sent=sent]")).to_have_count(1)  # it has been answered
        tap.stall("server")
        ana.say("heard, but not answered")
        ben.hears("heard, but not answered")
        tap.cut()
        ana.say("not even heard")
        ben.say("meanwhile")
        ben.hears("meanwhile")
        first.stop()
        tap.reset()
        for person in (ana, ben):
            person.until("offline")
        expect(ana.log.get_by_text("may not have been sent")).to_have_count(2)
        tap.mend()
        with serve(app(broker=broker), port=first.port):
            for person in (ana, ben):
                person.until("online")
            ben.hears("not even heard")
            ana.hears("meanwhile")
            said = ["before", "heard, but not answered", "not even heard", "meanwhile"]
            expect(ana.log.locator(".text")).to_have_text(said)
            expect(ben.log.locator(".text")).to_have_text([*said[:2], said[3], said[2]])
            for person in (ana, ben):
                expect(person.log.get_by_text("not sent")).to_have_count(0)
                expect(person.log.get_by_text("have expired")).to_have_count(0)


def test_what_is_typed_while_offline_is_kept(visit: Visit) -> None:
    """It stays in its field, and is sent when there is somebody to send it to."""
    served = app()
    with serve(served) as first:
        port = first.port
        ana = visit(first, "Ana")
        ana.hurry()
    ana.until("offline")
    ana.say("are you there?")
    expect(ana.message).to_have_value("are you there?")
    with serve(served, port=port):
        ana.until("online")
        ana.message.press("Enter")
        ana.hears("are you there?")
        expect(ana.message).to_have_value("")


def test_tries_are_spread_and_grow(server: BackgroundServer, visit: Visit) -> None:
    """Full jitter: from nothing up to a ceiling that doubles to 30 s, so that pages do not come back together."""
    ana = visit(server, None)
    delays: list[list[float]] = ana.page.evaluate(
        """async () => {
            const { backoff } = await import("./connection.js");
            return [0, 1, 2, 3, 20].map(attempt => Array.from({ length: 2000 }, () => backoff(attempt)));
        }"""
    )
    for ceiling, some in zip([500, 1_000, 2_000, 4_000, 30_000], delays, strict=True):
        assert 0 <= min(some) < 0.1 * ceiling
        assert 0.9 * ceiling < max(some) <= ceiling


def test_a_page_that_was_replaced_does_not_come_back_by_itself(visit: Visit) -> None:
    """Two tabs that each replaced the other for ever would never rest."""
    with chat(connections_per_user=1) as server:
        ana = visit(server, "Ana")
        ana.page.clock.install()
        other = Visitor(ana.page.context, server.http())
        other.until("online")
        ana.until("offline")
        expect(ana.page.get_by_role("alert").filter(has_text="another window")).to_be_visible()
        asked = ana.tickets
        ana.page.clock.fast_forward(AN_HOUR)
        assert ana.tickets == asked
        ana.page.get_by_role("button", name="Connect again").click()
        ana.until("online")
        other.until("offline")


def test_a_page_that_asks_too_often_waits_as_long_as_it_is_told(server: BackgroundServer, visit: Visit) -> None:
    """A ticket that there is none of now is asked for again, and nobody has to do anything; a login says so."""
    ana = visit(server, None)
    refusal: dict[str, Any] = {"status": 429, "headers": {"Retry-After": "20"}}
    for path in ("**/login", "**/ticket"):
        ana.page.route(path, lambda route: route.fulfill(**refusal), times=1)
    ana.page.get_by_label("Your name").fill("Ana")
    ana.page.keyboard.press("Enter")
    expect(ana.page.get_by_role("alert")).to_contain_text("Try again in a moment")
    ana.page.clock.install()
    stop_clock(ana.page)
    with ana.page.expect_response("**/ticket"):
        ana.page.keyboard.press("Enter")
    ana.until("offline")
    asked = ana.tickets
    ana.page.clock.run_for(19_000)
    assert ana.tickets == asked
    ana.page.clock.run_for(2_000)
    ana.until("online")


def test_a_session_that_ends_asks_to_log_in_again(visit: Visit) -> None:
    """In the middle of the conversation; the rooms are still there afterwards."""
    inner, outer = app(), FastAPI()

    @outer.post("/expire")
    async def expire() -> None:
        for connection in inner.state.manager.connections("Ana"):
            connection.end(CloseCode.AUTH_REQUIRED, "the session has expired, log in again")

    outer.mount("/", inner)
    outer.router.lifespan_context = inner.router.lifespan_context
    with serve(outer) as server:
        ana = visit(server, "Ana")
        ana.join("kitchen")
        ana.page.request.post(server.http("/expire"))
        expect(ana.page.get_by_role("alert")).to_have_text("Your session has expired. Log in again to continue.")
        expect(ana.page.get_by_label("Your name")).to_have_value("Ana")
        ana.log_in("Ana")
        expect(ana.page.get_by_role("heading", level=1)).to_have_text("kitchen")


def test_logging_out_makes_room_for_somebody_else(server: BackgroundServer, visit: Visit) -> None:
    """The next one on this computer finds none of the rooms that only the other has been to."""
    ana = visit(server, "Ana")
    ana.join("kitchen")
    ana.say("a secret")
    ana.hears("a secret")
    ana.page.get_by_role("button", name="Log out").click()
    ana.log_in("Ben")
    expect(ana.people).to_have_text(["Ben (you)"])
    expect(ana.page.get_by_role("button", name="kitchen")).to_have_count(0)
    expect(ana.log).not_to_contain_text("a secret")


def test_a_name_that_is_none_is_refused_in_words(server: BackgroundServer, visit: Visit) -> None:
    """The page says what a name is made of, and stays."""
    ana = visit(server, None)
    ana.page.get_by_label("Your name").fill("<Ana>")
    ana.page.keyboard.press("Enter")
    expect(ana.page.get_by_role("alert")).to_contain_text("letters, digits")


def test_a_server_without_the_demo_login_says_so(visit: Visit) -> None:
    """The page does not offer what does not work without a word."""
    with chat(demo_login=False) as server:
        ana = visit(server, None)
        ana.page.get_by_label("Your name").fill("Ana")
        ana.page.keyboard.press("Enter")
        expect(ana.page.get_by_role("alert")).to_contain_text("no login of its own")


def test_a_browser_that_keeps_no_cookie_is_told(server: BackgroundServer, visit: Visit) -> None:
    """In a frame of another site the login would otherwise come back without a word."""
    ana = visit(server, None)
    ana.page.route("**/login", lambda route: route.fulfill(status=204))
    ana.page.get_by_label("Your name").fill("Ana")
    ana.page.keyboard.press("Enter")
    expect(ana.page.get_by_role("alert")).to_contain_text("in its own window")


def test_what_is_written_is_text(server: BackgroundServer, visit: Visit) -> None:
    """Neither tags nor scripts, in messages, names or rooms; and a script in the page itself does not run."""
    ana, ben = visit(server, "Ana"), visit(server, "Ben")
    markup = '<img src=x onerror="document.title=1"><b>bold</b>'
    ana.say(markup)
    expect(ben.log.locator(".text")).to_have_text(markup)
    assert ben.log.locator("b, img").count() == 0
    blocked = ben.page.evaluate(
        """() => new Promise(resolve => {
            addEventListener("securitypolicyviolation", event => resolve(event.effectiveDirective));
            const script = document.createElement("script");
            script.textContent = "document.title = 1";
            document.body.append(script);
        })"""
    )
    assert blocked == "script-src-elem"
    assert ben.page.title() != "1"


def test_everything_can_be_done_with_the_keyboard(server: BackgroundServer, visit: Visit) -> None:
    """Lines, rooms, the dialog and back, without a mouse; the focus is always somewhere useful."""
    ana = visit(server, "Ana")
    expect(ana.message).to_be_focused()
    ana.page.keyboard.type("one")
    ana.page.keyboard.press("Shift+Enter")
    ana.page.keyboard.type("two")
    ana.page.keyboard.press("Enter")
    expect(ana.log.locator(".text")).to_have_text("one\ntwo", use_inner_text=True)
    ana.page.get_by_role("button", name="Join a room").focus()
    ana.page.keyboard.press("Enter")
    expect(ana.page.get_by_role("dialog", name="Join a room")).to_be_visible()
    ana.page.keyboard.press("Escape")
    expect(ana.page.get_by_role("dialog")).to_have_count(0)
    ana.page.keyboard.press("Enter")
    ana.page.keyboard.type("# tea & cake")
    ana.page.keyboard.press("Enter")
    expect(ana.page.get_by_role("heading", level=1)).to_have_text("tea--cake")
    expect(ana.message).to_be_focused()
    ana.page.get_by_role("button", name="lobby").focus()
    ana.page.keyboard.press("Enter")
    expect(ana.log.locator(".text")).to_have_count(1)


def test_a_room_is_the_same_however_its_name_was_typed(server: BackgroundServer, visit: Visit) -> None:
    """One keyboard sends "ë" as one character and another as two; a room that this browser kept so is found, too."""
    ana, ben = visit(server, "Ana"), visit(server, "Ben")
    ana.keep_rooms(["lobby", "Zoe\u0308"])
    ana.page.reload()
    ana.page.get_by_role("button", name="Zo\u00eb").click()
    ben.page.get_by_role("button", name="Join a room").click()
    ben.page.keyboard.insert_text("Zoe\u0308")
    ben.page.keyboard.press("Enter")
    for page in (ana.page, ben.page):  # both were in the lobby together as well
        expect(page.get_by_role("heading", level=1)).to_have_text("Zo\u00eb")
    expect(ben.people).to_have_text(["Ben (you)", "Ana"])
    ben.message.fill("hello")
    ben.message.press("Enter")
    expect(ana.log.locator(".text")).to_have_text(["hello"])


def test_other_rooms_count_what_is_new(server: BackgroundServer, visit: Visit) -> None:
    """On their button and in the title, until they are looked at; and a room can be left."""
    ana, ben = visit(server, "Ana"), visit(server, "Ben")
    ana.join("kitchen")
    ben.say("psst")
    expect(ana.page.get_by_role("button", name="lobby 1 new")).to_be_visible()
    expect(ana.page).to_have_title("(1) kitchen · Chat")
    ana.page.get_by_role("button", name="lobby 1 new").click()
    ana.hears("psst")
    expect(ana.page).to_have_title("lobby · Chat")
    ana.page.get_by_role("button", name="Leave").click()
    ben.hears("Ana left")
    expect(ana.page.get_by_role("heading", level=1)).to_have_text("kitchen")


@pytest.mark.parametrize(("fragment", "room"), [("#kitchen", "kitchen"), ("#%E4%BD%A0", "你"), ("#%ff%", "lobby")])
def test_the_address_names_the_room(server: BackgroundServer, visit: Visit, fragment: str, room: str) -> None:
    """A link leads into a room, and one that makes no sense into the first."""
    ana = visit(f"{server.http()}{fragment}", "Ana")
    expect(ana.page.get_by_role("heading", level=1)).to_have_text(room)


def test_a_closed_room_says_so(visit: Visit) -> None:
    """The server's error stands in the room, and the page goes on."""
    options = Settings(key=KEY, demo_login=True)
    with serve(create_app(options, may_join=lambda user, room: room != "board")) as server:
        ana = visit(server, "Ana")
        ana.join("board")
        ana.hears("You can't join this room (room: expected a room that is open to you).")
        ana.say("let me in")
        ana.hears("not sent: room: expected a room that you have joined")


def test_the_page_works_in_a_folder(visit: Visit) -> None:
    """Behind a proxy that shows it under a prefix, as Jupyter's does: every address is relative."""
    outer = FastAPI()
    inner = app()
    outer.mount("/user/ana/proxy/8000", inner)
    outer.router.lifespan_context = inner.router.lifespan_context
    with serve(outer) as server:
        ana = visit(server.http("/user/ana/proxy/8000/"), "Ana")
        ana.say("hello")
        ana.hears("hello")
        (cookie,) = ana.page.context.cookies()
        assert cookie.get("path") == "/user/ana/proxy/8000", "the folder's own, not that of other users"


def test_a_phone_has_room_for_everything(server: BackgroundServer, visit: Visit) -> None:
    """Nothing is wider than the screen, everything can be tapped, and the people are one tap away."""
    ana, ben = visit(server, "Ana", **PHONE), visit(server, "Ben")
    ben.say("w" * 300)
    ana.hears("w" * 300)
    assert ana.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for button in ana.page.get_by_role("button").all():
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 40
    expect(ana.people.first).to_be_hidden()
    ana.page.get_by_role("button", name="2 here").tap()
    expect(ana.people).to_have_text(["Ana (you)", "Ben"])
    ana.log.tap(position={"x": 20, "y": 200})
    expect(ana.people.first).to_be_hidden()


def test_old_messages_stay_in_sight_while_new_ones_come(server: BackgroundServer, visit: Visit) -> None:
    """Whoever has scrolled up is not torn away, is told, and can go to the newest."""
    ana, ben = visit(server, "Ana"), visit(server, "Ben")
    for number in range(20):
        ben.say(f"number {number}")
    ana.hears("number 19")
    expect(ana.log.get_by_text("number 19")).to_be_in_viewport()
    ana.log.focus()
    ana.page.keyboard.press("Home")
    expect(ana.log.get_by_text("Ben joined")).to_be_in_viewport()
    ben.say("the newest")
    ana.hears("the newest")
    expect(ana.log.get_by_text("the newest")).not_to_be_in_viewport()
    ana.page.get_by_role("button", name="New messages").click()
    expect(ana.log.get_by_text("the newest")).to_be_in_viewport()


@pytest.mark.parametrize(("scheme", "device"), [("light", DESK), ("dark", PHONE)], ids=["light-desk", "dark-phone"])
def test_axe_finds_nothing(
    server: BackgroundServer, visit: Visit, device: dict[str, Any], scheme: str, request: pytest.FixtureRequest
) -> None:
    """Contrast, names and roles, at the login, in the room, in the dialog and offline; with a picture of it."""
    ana = visit(server, None, color_scheme=scheme, **device)
    check_with_axe(ana)
    ana.log_in("Ana")
    ben = visit(server, "Ben Okafor")
    ana.say("Good morning! Is the build green again?")
    ben.hears("Good morning!")
    ben.say("Yes, since ten minutes ago. It was a port that two tests shared.")
    ben.say("The server binds port 0 now, and tells us which one it got.")
    ana.hears("which one it got")
    ana.say("Thank you.")
    ben.join("design-review")
    ben.page.get_by_role("button", name="lobby").click()
    check_with_axe(ana)
    SCREENSHOTS.mkdir(exist_ok=True)
    ana.page.screenshot(path=SCREENSHOTS / f"page-{request.node.callspec.id}.png")
    ana.page.get_by_role("button", name="Join a room").click()
    check_with_axe(ana)
    ana.page.keyboard.press("Escape")
    server.stop()
    expect(ana.page.get_by_role("alert").filter(has_text="The connection is lost")).to_be_visible()
    check_with_axe(ana)


def check_with_axe(visitor: Visitor) -> None:
    """Assert that axe finds no violation in what is shown now."""
    if not visitor.page.evaluate("'axe' in window"):
        visitor.page.evaluate(AXE.read_text())
    violations = visitor.page.evaluate("axe.run().then(result => result.violations)")
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in violations] == []
