"""The page and characters that are more than one unit: nothing is cut inside one, and nothing disappears."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from server import BackgroundServer

from .test_page import Visit, server, visit

__all__ = ["server", "visit"]  # fixtures

LETTER = "\U0001d49c"  # two units in JavaScript, a letter for everybody
ACCENTED = "x\N{COMBINING ACUTE ACCENT}"  # no letter of its own has this accent, so that it stays two


@pytest.mark.parametrize(
    ("wish", "room"),
    [
        ("a" + LETTER * 70, "a" + LETTER * 63),
        ("a" + ACCENTED * 40, "a" + ACCENTED * 31),
        (LETTER * 40, LETTER * 40),
    ],
    ids=["pairs", "marks", "fits"],
)
def test_a_long_address_still_names_a_room(server: BackgroundServer, visit: Visit, wish: str, room: str) -> None:
    """Its name ends between two characters, and what is typed there is said there; also after a visit elsewhere."""
    ana = visit(server, "Ana")
    ana.page.evaluate("hash => { location.hash = hash; }", quote(wish))
    expect(ana.page.get_by_role("heading", level=1)).to_have_text(room)
    ana.say("is anybody here?")
    expect(ana.log.locator("[data-sent=sent] .text")).to_have_text("is anybody here?")
    ana.page.reload()
    expect(ana.page.get_by_role("heading", level=1)).to_have_text(room)
    ana.hears("is anybody here?")


def test_half_a_character_is_sent_as_what_it_is(server: BackgroundServer, visit: Visit) -> None:
    """A program may paste one: the others see a replacement character, and the message is not lost without a word."""
    ana, ben = visit(server, "Ana"), visit(server, "Ben")
    ana.page.evaluate("document.getElementById('text').value = 'half ' + String.fromCharCode(0xd83d)")
    ana.message.press("Enter")
    ben.hears("half \ufffd")
    expect(ana.log.locator("[data-sent=sent]")).to_have_count(1)


@pytest.mark.parametrize("label", ["Message", "Your name"])
def test_a_field_that_is_full_ends_with_a_whole_character(server: BackgroundServer, visit: Visit, label: str) -> None:
    """The browser cuts what is pasted at `maxlength`; this is its doing, and what we rely on."""
    ana = visit(server, None if label == "Your name" else "Ana")
    field = ana.page.get_by_label(label, exact=True)
    most = int(field.get_attribute("maxlength") or 0)
    assert most
    field.focus()
    ana.page.keyboard.insert_text("a" * (most - 1) + "\U0001f600")
    assert field.evaluate("field => field.value.isWellFormed()")


def test_a_message_that_the_server_cannot_read_is_not_passed_over(server: BackgroundServer, visit: Visit) -> None:
    """Its answer has no id, so that nobody knows which one it was; the page says that there was one."""
    ana = visit(server, "Ana")
    ana.page.evaluate("JSON.stringify = () => '{'")
    ana.say("hello")
    ana.hears("could not read a message")
