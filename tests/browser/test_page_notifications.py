"""The bell of the chat page in a real Chromium: what is unread, the list, and what another device has read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from lab import run_on_server
from lab.tap.tap import Tap
from playwright.sync_api import Locator, expect

from server import BackgroundServer
from tests.server.recipients import push, pusher

from .test_page import DESK, PHONE, Visit, Visitor, chat, check_with_axe, visit

__all__ = ["visit"]  # a fixture


@pytest.fixture
def server() -> Iterator[BackgroundServer]:
    """The chat with its defaults."""
    with chat() as running:
        yield running


def bell(visitor: Visitor) -> Locator:
    """The button that opens the list."""
    return visitor.page.get_by_role("button", name="Notifications")


def unread(visitor: Visitor, count: int) -> None:
    """Wait until the bell tells so many, to the eye and to a screen reader."""
    name = f"Notifications, {count} unread" if count else "Notifications"
    expect(visitor.page.get_by_role("button", name=name, exact=True)).to_have_text(str(count) if count else "")


def notifications(visitor: Visitor) -> Locator:
    """What the list shows."""
    return visitor.page.get_by_role("list", name="Notifications, newest first").get_by_role("listitem")


def test_read_on_one_device_is_read_on_the_other(server: BackgroundServer, visit: Visit) -> None:
    """The bell counts on both, the list has the newest first, and one click clears both."""
    laptop, phone, ben = visit(server, "Ana"), visit(server, "Ana", **PHONE), visit(server, "Ben")
    with pusher(server) as shop:
        for text in ("Your order is packed.", "Your order is on its way."):
            push(shop, "Ana", kind="order", text=text)
    for device in (laptop, phone):
        unread(device, 2)
    bell(phone).click()
    expect(notifications(phone).locator(".what")).to_have_text(["Your order is on its way.", "Your order is packed."])
    expect(notifications(phone).locator(".kind")).to_have_text(["order · new", "order · new"])
    phone.page.get_by_role("button", name="Mark all as read").click()
    for device in (laptop, phone):
        unread(device, 0)
    expect(notifications(phone).locator(".kind")).to_have_text(["order", "order"])
    unread(ben, 0)


def test_what_came_while_the_page_was_closed_is_there(server: BackgroundServer, visit: Visit) -> None:
    """After a reload as well; what has been read stays read, and no markup in it is taken for markup."""
    ana = visit(server, "Ana")
    ana.page.goto("about:blank")
    with pusher(server) as shop:
        push(shop, "Ana", text="<img src=x onerror=alert(1)>")
        ana.page.goto(server.http())
        unread(ana, 1)
        bell(ana).click()
        expect(notifications(ana).locator(".what")).to_have_text(["<img src=x onerror=alert(1)>"])
        ana.page.get_by_role("button", name="Mark all as read").click()
        unread(ana, 0)
        ana.page.reload()
        push(shop, "Ana", text="new")
    unread(ana, 1)
    bell(ana).click()
    expect(notifications(ana).locator(".kind")).to_have_text(["order · new", "order"])


def test_a_page_that_comes_back_has_each_notification_once(server: BackgroundServer, visit: Visit) -> None:
    """The cable is cut, notifications come, the cable is mended: nothing is missing and nothing is there twice."""
    with Tap(server) as tap, pusher(server) as shop:
        ana = visit(tap.http(), "Ana")
        push(shop, "Ana", text="before")
        unread(ana, 1)
        tap.cut()
        push(shop, "Ana", text="meanwhile")
        tap.reset()
        tap.mend()
        unread(ana, 2)
        push(shop, "Ana", text="after")
        unread(ana, 3)
        bell(ana).click()
        expect(notifications(ana).locator(".what")).to_have_text(["after", "meanwhile", "before"])


def test_the_bell_works_with_the_keyboard(server: BackgroundServer, visit: Visit) -> None:
    """Enter opens the list, the first button in it is next, Escape closes it and gives the focus back."""
    ana = visit(server, "Ana")
    with pusher(server) as shop:
        push(shop, "Ana", text="news")
    unread(ana, 1)
    expect(ana.page.locator("[aria-live=polite]", has_text="news").last).to_have_text("news")
    bell(ana).focus()
    ana.page.keyboard.press("Enter")
    expect(notifications(ana)).to_have_count(1)
    ana.page.keyboard.press("Tab")
    expect(ana.page.get_by_role("button", name="Mark all as read")).to_be_focused()
    ana.page.keyboard.press("Enter")
    unread(ana, 0)
    ana.page.keyboard.press("Escape")
    expect(notifications(ana)).to_have_count(0)
    expect(bell(ana)).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", [DESK, PHONE], ids=["desk", "phone"])
def test_axe_finds_nothing(server: BackgroundServer, visit: Visit, screen: dict[str, Any], scheme: str) -> None:
    """With the list open, one notification read and one unread; and nothing is wider than the screen."""
    ana = visit(server, "Ana", color_scheme=scheme, **screen)
    with pusher(server) as shop:
        push(shop, "Ana", text="read")
        unread(ana, 1)
        bell(ana).click()
        ana.page.get_by_role("button", name="Mark all as read").click()
        unread(ana, 0)
        push(shop, "Ana", text="a very long word " + 200 * "x")
    unread(ana, 1)
    check_with_axe(ana)
    assert ana.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_notification_that_cannot_be_read_hides_no_other(server: BackgroundServer, visit: Visit) -> None:
    """Those before it and after it are shown, while the page is open and after a reload, which asks only once."""
    ana = visit(server, "Ana")
    app: Any = server.app
    with pusher(server) as shop:
        push(shop, "Ana", text="before")
        unread(ana, 1)
        foreign = app.state.notifications.broker.publish("inbox:Ana", '{"of": "another version"}')
        run_on_server(server, foreign, timeout=30)
        push(shop, "Ana", text="after")
    bell(ana).click()
    expect(notifications(ana).locator(".what")).to_have_text(["after", "before"])
    asked: list[str] = []
    ana.page.on("websocket", lambda socket: socket.on("framesent", lambda frame: asked.append(str(frame))))
    ana.page.reload()
    bell(ana).click()
    expect(notifications(ana).locator(".what")).to_have_text(["after", "before"])
    ana.message.fill("hello")
    ana.message.press("Enter")
    expect(ana.log.locator(".text")).to_have_text(["hello"])
    assert len([frame for frame in asked if '"watch"' in frame]) == 2  # at first, and after the gap
