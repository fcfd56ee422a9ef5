"""The page and paths that swallow everything, as after sleep, behind a NAT that forgot, or between Wi-Fi and mobile."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from lab.tap.tap import Tap
from playwright.sync_api import expect

from server import BackgroundServer, serve
from server.access.tokens import Session, Tickets
from server.settings import Settings

from .test_page import KEY, Visit, Visitor, app, server, stop_clock, visit
from .test_teacher import Teacher

__all__ = ["server", "visit"]  # fixtures

QUIET = 20_000  # milliseconds after which a page asks whether the server is there
PATIENCE = 10_000  # milliseconds in which something must come
DEADLINE = 60.0  # seconds for a thread to end
WAKING = {
    "online": "dispatchEvent(new Event('online'))",
    "back/forward cache": "dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))",
    "shown again": "document.dispatchEvent(new Event('visibilitychange'))",
    "thawed": "document.dispatchEvent(new Event('resume'))",
}


@pytest.fixture
def tap(server: BackgroundServer) -> Iterator[Tap]:
    """The path to the server."""
    with Tap(server) as path:
        yield path


def arrive(visit: Visit, tap: Tap) -> Visitor:
    """Ana, in the lobby, with a clock that the test moves; her page has handled all that the server answered."""
    ana = visit(tap.http(), None)
    ana.page.clock.install()
    ana.page.reload()
    ana.log_in("Ana")
    ana.until_received('"inbox"')
    stop_clock(ana.page)
    return ana


def saying(path: Tap, word: str) -> int:
    """How many messages with this word have crossed."""
    return sum(word in (frame.text or "") for frame in path.frames)


def notices(visitor: Visitor) -> None:
    """Wait until the page knows that its connection is lost, and perhaps tries again already."""
    expect(visitor.page.get_by_role("status")).to_have_text(re.compile("offline|connecting"))


def test_a_message_that_is_not_answered_is_seen_and_said_again_once(
    server: BackgroundServer, tap: Tap, visit: Visit
) -> None:
    """It is marked after ten seconds, and comes over the next connection; also where the first has come after all."""
    ana, ben = arrive(visit, tap), visit(server, "Ben")
    ana.hears("Ben joined")
    tap.cut()
    ana.say("into the void")
    ana.page.clock.run_for(PATIENCE - 100)
    ana.until("online")
    expect(ana.log.locator("[data-sent=sending]")).to_have_count(1)
    ana.page.clock.run_for(200)
    notices(ana)
    expect(ana.log.get_by_text("may not have been sent")).to_have_count(1)
    ana.page.clock.resume()
    tap.mend()
    ana.until("online")
    expect(ana.log.locator("[data-sent=sent] .text")).to_have_text("into the void")
    ben.say("the end")
    ana.hears("the end")
    expect(ben.log.locator(".text")).to_have_text(["into the void", "the end"])


class Dying:
    """A path whose present connections can die, as in a NAT that forgot them; new ones work."""

    def __init__(self, listener: socket.socket, port: int) -> None:
        self._listener, self._port = listener, port
        self._living: set[socket.socket] = set()
        self._all: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._run(self._accept)

    def _run(self, function: Callable[..., None], *args: socket.socket) -> None:
        self._threads.append(threading.Thread(target=function, args=args, daemon=True))
        self._threads[-1].start()

    def stop(self) -> None:
        """End every thread and close every socket."""
        for one in (self._listener, *self._all):
            with suppress(OSError):  # the other end has gone already
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(DEADLINE)
        for one in self._all:
            one.close()

    def die(self) -> None:
        """Let nothing pass over what is open now, not even an end."""
        self._living.clear()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
                self._living |= {client, server}
                self._all += client, server
                for pair in ((client, server), (server, client)):
                    self._run(self._pump, *pair)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if source in self._living:
                    sink.sendall(data)
            if source in self._living:
                sink.shutdown(socket.SHUT_WR)


@contextmanager
def dying(server: BackgroundServer) -> Iterator[tuple[str, Dying]]:
    """The page's address on such a path, and the path."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        path = Dying(listener, server.port)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/", path
        finally:
            path.stop()


def test_a_page_gets_rid_of_the_dead_connections_of_its_browser(server: BackgroundServer, visit: Visit) -> None:
    """The browser keeps several for HTTP, and asks for the ticket over each in turn until that is given up."""
    with dying(server) as (address, path):
        ana = visit(address, None)
        ana.page.clock.install()
        ana.page.reload()  # a timer from before would not be the clock's
        ana.log_in("Ana")
        ana.say("before")
        expect(ana.log.locator("[data-sent=sent] .text")).to_have_text("before")
        ana.hurry()
        path.die()
        ana.page.evaluate(WAKING["online"])
        ana.page.clock.fast_forward(PATIENCE)
        notices(ana)
        expect(ana.page.get_by_role("status")).to_have_text("online", timeout=30_000)
        assert ana.tickets > 2, "no dead connection was tried"


def test_a_page_that_hears_nothing_asks_and_gives_up(tap: Tap, visit: Visit) -> None:
    """Nobody does anything, and the page says after half a minute that it is offline."""
    ana = arrive(visit, tap)
    tap.cut()
    ana.page.clock.run_for(QUIET + PATIENCE - 1_500)
    ana.until("online")
    ana.page.clock.run_for(1_500)
    notices(ana)


def test_a_page_in_a_quiet_room_stays(tap: Tap, visit: Visit) -> None:
    """The server answers each time, and the connection is still the first."""
    ana = arrive(visit, tap)
    asked = ana.tickets
    for times in range(1, 4):
        ana.page.clock.run_for(QUIET)
        ana.until_received('"pong"', times)
        assert ana.received('"pong"') == times
        expect(ana.page.get_by_role("status")).to_have_text("online")
    assert ana.tickets == asked


@pytest.mark.parametrize("event", WAKING.values(), ids=WAKING)
def test_a_page_that_was_away_asks_at_once(tap: Tap, visit: Visit, event: str) -> None:
    """What was true before may be so no longer: another network, a frozen page, a machine that slept."""
    ana = arrive(visit, tap)
    tap.cut()
    ana.page.evaluate(event)
    ana.page.clock.run_for(PATIENCE)
    notices(ana)


def test_a_machine_that_slept_asks_at_once(tap: Tap, visit: Visit) -> None:
    """Its timers stood still, and its clock has jumped."""
    ana = arrive(visit, tap)
    tap.cut()
    ana.page.clock.set_system_time(ana.page.evaluate("Date.now() / 1_000 + 3_600"))
    ana.page.clock.run_for(5_000 + PATIENCE)
    notices(ana)


def test_a_page_that_wakes_in_every_way_sends_one_ping(tap: Tap, visit: Visit) -> None:
    """A user's tabs share one limit, and after sleep each of thirty tabs gets several of these events at once."""
    ana = arrive(visit, tap)
    ana.page.evaluate(";".join(WAKING.values()))
    tap.wait(lambda path: saying(path, '"pong"') == 1)
    ana.say("I am back")
    tap.wait(lambda path: saying(path, "I am back") == 2)
    assert saying(tap, '"ping"') == 1


def test_a_page_whose_ticket_has_expired_gets_another(server: BackgroundServer, visit: Visit) -> None:
    """A machine can fall asleep between the ticket and the handshake; its user is still logged in."""
    ana = visit(server, "Ana")
    session = Session(user="Ana", expires=time.time() + 3_600)
    expired = Tickets(key=KEY.get_secret_value(), seconds=-60).issue(session)
    answer = {"ticket": expired, "user": "Ana", "expires_in": 30}
    ana.page.route("**/ticket", lambda route: route.fulfill(json=answer), times=1)
    ana.page.reload()
    ana.until("online")


def test_a_page_that_waits_tries_at_once_when_it_is_shown(tap: Tap, visit: Visit) -> None:
    """Whoever looks at it waits no half minute; where the server has told it to wait, it waits."""
    ana = arrive(visit, tap)
    tap.reset()
    ana.until("offline")
    ana.page.evaluate(WAKING["shown again"])
    ana.until("online")
    ana.page.route("**/ticket", lambda route: route.fulfill(status=429, headers={"Retry-After": "20"}), times=1)
    tap.reset()
    ana.until("offline")
    with ana.page.expect_response("**/ticket"):
        ana.page.clock.run_for(1_000)
    ana.until("offline")
    asked = ana.tickets
    ana.page.evaluate(WAKING["online"])
    ana.page.clock.run_for(19_000)
    assert ana.tickets == asked


def test_the_teachers_page_notices_as_well(visit: Visit) -> None:
    """Its server speaks twice a second, so that it need not ask."""
    served = app(classroom=True)
    with serve(served, **Settings(key=KEY).uvicorn_options) as server, Tap(server) as path:
        teacher = Teacher(visit, path, served.state.classroom.key)  # type: ignore[arg-type]  # it has the addresses of one
        teacher.page.clock.install()
        path.wait(lambda one: saying(one, '"class"') > 3)
        heard = saying(path, '"class"')
        path.wait(lambda one: saying(one, '"class"') > heard + 1)
        path.cut()
        teacher.page.clock.run_for(QUIET + PATIENCE)
        notices(teacher.visitor)
        teacher.page.get_by_label("Send to everyone").fill("Hello?")
        teacher.page.keyboard.press("Enter")
        expect(teacher.page.get_by_label("Send to everyone")).to_have_value("Hello?")
