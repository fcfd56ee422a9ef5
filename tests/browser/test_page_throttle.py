"""The page and the limits of the server: with many rooms and windows it gets in, and does not ask in vain for ever."""

from __future__ import annotations

import time
from collections.abc import Callable

from playwright.sync_api import Browser, expect

from server import serve
from server.app import create_app
from server.settings import Settings

from .test_page import KEY, Visit, Visitor, app, chat, stop_clock, visit

__all__ = ["visit"]  # a fixture

PAUSE = 30_000  # milliseconds that a page is silent after it has sent too much


def eventually(visitor: Visitor, look: Callable[[], object], wanted: object, seconds: float = 30.0) -> None:
    """Wait until what is seen is what is wanted, while the page goes on."""
    deadline = time.monotonic() + seconds
    while (seen := look()) != wanted:
        assert time.monotonic() < deadline, f"{seen} after {seconds} s"
        visitor.page.wait_for_timeout(50)


def test_many_rooms_in_many_windows_come_back_after_a_restart(visit: Visit, browser: Browser) -> None:
    """With the server's own limits: 3 windows with 24 rooms are 72 joins, where 50 messages are allowed at once."""
    served = app()
    rooms = ["lobby", *(f"room-{number}" for number in range(23))]
    with serve(served) as first:
        ana = visit(first, "Ana")
        ana.keep_rooms(rooms)
        ana.page.reload()
        windows = [ana, *(Visitor(ana.page.context, first.http()) for _ in range(2))]
        for window in windows:
            window.until("online")
    for window in windows:
        window.until("offline")
    with serve(served, port=first.port):
        for window in windows:
            window.until("online")
            window.say("all of us are back")
        manager = served.state.manager
        eventually(ana, lambda: [len(one.rooms) for one in manager.connections("Ana")], [24] * 3)
        for window in windows:
            expect(window.log.get_by_text("all of us are back")).to_have_count(3)
            window.until("online")
            expect(window.page.get_by_role("alert").filter(has_text="disconnected")).to_have_count(0)
    assert [error for window in windows for error in window.errors] == []


def test_a_page_that_sent_too_much_comes_back_after_a_pause(visit: Visit) -> None:
    """It says why, asks for nothing for half a minute, whatever the network does, and then is back by itself."""
    with chat(message_burst=5, messages_per_second=0.001) as server:
        ana = visit(server, None)
        ana.page.clock.install()
        ana.page.reload()
        ana.log_in("Ana")
        ana.until_received('"inbox"')  # before the join is answered it sends nothing, and its clock would stand still
        stop_clock(ana.page)
        for text in ("one", "two", "three", "four", "five"):
            ana.say(text)
        ana.until("offline")
        expect(ana.page.get_by_role("alert").filter(has_text="messages per second")).to_be_visible()
        asked = ana.tickets
        ana.page.clock.run_for(PAUSE - 2_000)
        ana.page.evaluate("dispatchEvent(new Event('online'))")
        assert ana.tickets == asked
        with ana.page.expect_request("**/ticket"):
            ana.page.clock.run_for(7_000)


def test_a_page_keeps_only_rooms_that_the_server_has_confirmed(visit: Visit) -> None:
    """A room that is closed, or one too many, is not asked for at each visit."""
    options = Settings(key=KEY, demo_login=True, rooms_per_connection=3)
    with serve(create_app(options, may_join=lambda user, room: room != "board")) as server:
        ana = visit(server, "Ana")
        ana.join("board")
        ana.hears("You can't join this room")
        ana.join("kitchen")
        ana.join("garden")
        ana.join("cellar")
        ana.hears("at most 3 rooms")
        many = ["board", "lobby", "kitchen", "garden", "attic", "cellar"]
        ana.keep_rooms(many, after=["lobby", "kitchen", "garden"])
        ana.page.goto(server.http("/#garden"))
        ana.page.reload()
        expect(ana.page.get_by_role("button", name="cellar")).to_be_visible()
        eventually(ana, lambda: len(ana.rooms()), 3)
        assert "board" not in ana.rooms()
        assert "garden" in ana.rooms()


def test_what_is_said_before_the_room_is_joined_is_said_then(visit: Visit) -> None:
    """A page with many rooms joins one after the other, and its user need not wait for that."""
    with chat() as server:
        ana, ben = visit(server, "Ana"), visit(server, "Ben")
        ben.join("kitchen")
        ana.keep_rooms([*map(str, range(20)), "kitchen"])
        ana.page.reload()
        ana.until("online")
        ana.page.get_by_role("button", name="kitchen").click()
        ana.say("first")
        ana.say("second")
        ben.hears("second")
        expect(ben.log.locator(".text")).to_have_text(["first", "second"])
        expect(ana.log.get_by_text("sent")).to_have_count(0)
