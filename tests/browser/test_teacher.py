"""The teacher's page in a real Chromium: who is there, whose queue grows, and what the teacher does about it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from lab.clients.crowd import Crowd
from playwright.sync_api import Locator, expect

from server import BackgroundServer, serve
from server.settings import Settings
from tests.server.people import Person
from tests.server.recipients import bearer

from .conftest import SCREENSHOTS
from .test_page import DESK, KEY, PHONE, Visit, Visitor, app, check_with_axe, visit

__all__ = ["visit"]  # a fixture

CROWD = 200
LIMITS: dict[str, Any] = {"classroom": True, "connections_per_user": CROWD, "message_burst": 1_000}
WATCH = """() => {
    window.moved = 0;
    new MutationObserver(records => { moved += records.length; }).observe(rows, { childList: true });
}"""


class Teacher:
    """The teacher's page, open, with the key in its address."""

    def __init__(self, visit: Visit, server: BackgroundServer, key: str) -> None:
        self.visitor: Visitor = visit(f"{server.http('/teacher')}#key=of-yesterday", None)
        self.page = self.visitor.page
        expect(self.page.get_by_role("alert")).to_contain_text("Open the link that the server printed")
        self.page.evaluate("key => { location.hash = `key=${key}`; }", key)
        self.visitor.until("live")

    def row(self, user: str) -> Locator:
        """The row of a student."""
        return self.page.get_by_role("row").filter(has=self.page.get_by_role("rowheader", name=user))

    def do(self, what: str, user: str) -> None:
        """Press the button in the row of a student."""
        self.page.get_by_role("button", name=f"{what} {user}", exact=True).click()

    def connection(self, user: str) -> str:
        """The number of the connection of a student."""
        found = re.search(r"#\d+", self.row(user).inner_text())
        assert found
        return found[0]


@pytest.fixture
def classroom() -> Iterator[tuple[BackgroundServer, str]]:
    """A server for a class, and the teacher's key."""
    served = app(**LIMITS)
    with serve(served, **Settings(key=KEY, classroom=True).uvicorn_options) as server:
        yield server, served.state.classroom.key


def test_a_teacher_sees_the_class_and_acts(classroom: tuple[BackgroundServer, str], visit: Visit) -> None:
    """Ana comes, is slowed while Ben floods, gets all of it at full speed, is cut off and back, is told, and kicked."""
    server, key = classroom
    teacher, ana = Teacher(visit, server, key), visit(server, "Ana")
    expect(teacher.page.get_by_role("heading", name="Students · 1")).to_be_visible()
    expect(teacher.page.get_by_role("link", name="/join")).to_be_visible()
    teacher.page.evaluate("document.querySelector('.qr img').decode()")  # fails unless it is a picture

    with Person(server, "Ben") as ben:
        expect(teacher.row("Ben")).to_contain_text("lobby")
        teacher.do("Slow", "Ana")
        expect(teacher.row("Ana")).to_contain_text("slow: 200 B/s")
        for number in range(100):
            ben.say(f"number {number} {'x' * 200}")
        queue = teacher.row("Ana").get_by_role("meter")
        expect(queue).not_to_have_attribute("aria-valuenow", "0")
        expect(teacher.page.get_by_text("1 behind: Ana")).to_be_visible()
        check_both_themes(teacher)
        teacher.do("Slow", "Ana")
        expect(queue).to_have_attribute("aria-valuenow", "0")
        ana.hears("number 99")

    before = teacher.connection("Ana")
    teacher.do("Cut", "Ana")
    expect(teacher.page.get_by_role("list", name="Connections that ended")).to_contain_text("Ana 1006")
    expect(teacher.row("Ana")).not_to_contain_text(before)
    ana.until("online")

    teacher.page.get_by_label("Send to everyone").fill("Ten more minutes.")
    teacher.page.keyboard.press("Enter")
    expect(ana.page.get_by_text("Ten more minutes.").first).to_be_visible()

    teacher.do("Kick", "Ana")
    expect(ana.page.get_by_role("alert").filter(has_text="the teacher has removed you")).to_be_visible()
    expect(teacher.page.get_by_role("list", name="Connections that ended")).to_contain_text("Ana 4003")
    expect(teacher.page.get_by_text("Nobody has joined yet.")).to_be_visible()


def check_both_themes(teacher: Teacher) -> None:
    """Assert that axe finds nothing on a desk in the light and on a phone in the dark; with a picture of both."""
    SCREENSHOTS.mkdir(exist_ok=True)
    screens: dict[str, Any] = {"light": DESK["viewport"], "dark": PHONE["viewport"]}
    for scheme, size in screens.items():
        teacher.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        teacher.page.set_viewport_size(size)
        check_with_axe(teacher.visitor)
        assert teacher.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        teacher.page.screenshot(path=SCREENSHOTS / f"teacher-{scheme}.png")
    teacher.page.set_viewport_size(DESK["viewport"])


def test_two_hundred_students_are_two_hundred_rows(classroom: tuple[BackgroundServer, str], visit: Visit) -> None:
    """Each row stands still while its numbers change; a reload needs no key, which is no longer in the address."""
    server, key = classroom
    teacher = Teacher(visit, server, key)
    with Crowd(server.url("/ws?device=d"), CROWD, additional_headers=bearer("Cy")):
        expect(teacher.row("Cy")).to_have_count(CROWD)
        assert "key" not in teacher.page.url
        with teacher.page.expect_websocket() as opened:
            teacher.page.reload()
        expect(teacher.row("Cy")).to_have_count(CROWD)
        teacher.page.evaluate(WATCH)
        for _ in range(2):
            opened.value.wait_for_event("framereceived")
        assert teacher.page.evaluate("moved") == 0
