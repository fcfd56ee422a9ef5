"""The bot on the chat's page in a real Chromium: it answers while it thinks, in every tab, until somebody says stop."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from server import serve
from server.app import create_app
from server.settings import Settings
from tests.server.app.answers.asking import StepModel

from .conftest import SCREENSHOTS
from .test_page import AXE, KEY, PHONE, Visit, Visitor, chat, visit

__all__ = ["visit"]  # a fixture

ANNOUNCED = """() => {
  window.announced = [];
  new MutationObserver(() => window.announced.push(document.getElementById("news").textContent))
    .observe(document.getElementById("news"), {childList: true, characterData: true, subtree: true});
}"""


def test_the_bot_answers_in_every_tab_until_somebody_says_stop(visit: Visit) -> None:
    """A second tab has the whole text; one presses the button by keyboard, and both know."""
    model = StepModel(allowed=3)
    with serve(create_app(Settings(key=KEY, demo_login=True), model=model)) as server:
        ana = visit(server, "Ana")
        ana.say("@bot what is a WebSocket?")
        ana.hears("0 1 2")
        assert model.prompts == ["what is a WebSocket?"]
        other = Visitor(ana.page.context, server.http())
        expect(other.log).to_contain_text("0 1 2")
        model.allow(2)
        for tab in (ana, other):
            tab.hears("0 1 2 3 4")
        stop = other.page.get_by_role("button", name="Stop the bot")
        stop.focus()
        other.page.keyboard.press("Enter")
        for tab in (ana, other):
            tab.hears("Stopped.")
            expect(tab.page.get_by_role("button", name="Stop the bot")).to_be_hidden()
        expect(other.message).to_be_focused()
        assert model.closed.wait(30)
        assert (model.made, len(model.prompts)) == (5, 1)
        assert other.errors == []
        ben = visit(server, "Ben")
        ben.hears("@bot what is a WebSocket?")
        expect(ben.log).not_to_contain_text("0 1 2")


def test_a_screen_reader_hears_the_whole_and_not_each_token(visit: Visit) -> None:
    """On a phone: nothing is wider than the screen, and axe finds nothing, while it answers and afterwards."""
    words = ("A WebSocket ", "stays ", "open, ", "so the server can send when it has something to say. ") * 3
    model = StepModel(*words, allowed=4)
    with serve(create_app(Settings(key=KEY, demo_login=True), model=model)) as server:
        ana = visit(server, "Ana", color_scheme="dark", **PHONE)
        ana.page.evaluate(ANNOUNCED)
        ana.say("@bot what is a WebSocket?")
        ana.hears("something to say.")
        _check(ana.page)
        model.allow(8)
        expect(ana.page.get_by_role("button", name="Stop the bot")).to_be_hidden()
        whole = "".join(words)
        assert ana.page.evaluate("window.announced") == ["The bot is answering.", f"The bot: {whole}"]
        expect(ana.log.locator('.bot [aria-live="off"]')).to_have_text(whole.strip())
        _check(ana.page)
        SCREENSHOTS.mkdir(exist_ok=True)
        ana.page.screenshot(path=SCREENSHOTS / "bot-phone.png")


def test_where_there_is_no_bot_the_page_says_so(visit: Visit) -> None:
    """And the chat goes on."""
    with chat() as server:
        ana = visit(server, "Ana")
        ana.page.route_web_socket("**/answers*", lambda socket: socket.close())
        ana.say("@bot hello")
        ana.hears("There is no bot here.")
        ana.say("never mind")
        ana.hears("never mind")


def _check(page: Page) -> None:
    width = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert width == 0, "the page is wider than the screen"
    page.evaluate(AXE.read_text())
    assert page.evaluate("axe.run().then(result => result.violations.map(one => one.id))") == []
