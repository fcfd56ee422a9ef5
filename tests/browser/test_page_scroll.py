"""A room with a thousand messages in a real Chromium: all are there, and reading them is not disturbed by new ones."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect

from tests.server.people import Person

from .test_page import Visit, Visitor, chat, visit

__all__ = ["visit"]  # a fixture

MANY = 1_000
KEPT = 2_000  # entries of one room that the page keeps
LIMITS: dict[str, Any] = {"messages_per_second": 1e6, "message_burst": 1_000_000, "outbox_messages": 2 * KEPT}

COUNT = """() => {
    window.added = window.removed = window.changed = 0;
    new MutationObserver(records => records.forEach(({ addedNodes, removedNodes, type }) => {
        added += addedNodes.length;
        removed += removedNodes.length;
        changed += type !== "childList";
    })).observe(log, { subtree: true, childList: true, characterData: true, attributes: true });
}"""

LAID_OUT = """() => [...document.querySelectorAll("#log .text")]
    .filter(text => text.checkVisibility({ contentVisibilityAuto: true })).length"""


def flood(ben: Person, ana: Visitor, numbers: range) -> None:
    """Say so many messages, and wait until the last one is shown."""
    for number in numbers:
        ben.say(f"number {number}")
    expect(ana.log.locator(".text").last).to_have_text(f"number {numbers[-1]}")


def shown(ana: Visitor) -> list[str]:
    """The messages in the log, in their order."""
    texts: list[str] = ana.log.locator(".text").all_text_contents()
    return texts


def mutations(ana: Visitor) -> list[int]:
    """Nodes added to the log, nodes removed from it, and what else has changed in it, since they are counted."""
    counts: list[int] = ana.page.evaluate("[added, removed, changed]")
    return counts


def place(ana: Visitor, number: int) -> float:
    """Where a message stands on the screen, in pixels from the top."""
    box = ana.log.get_by_text(f"number {number}", exact=True).bounding_box()
    assert box is not None
    return float(box["y"])


def test_a_thousand_messages_can_be_read_while_more_come(visit: Visit) -> None:
    """All in order, each costs about one node; what is read stays where it is, also what would have to go by now."""
    with chat(**LIMITS) as server, Person(server, "Ben") as ben:
        ana = visit(server, "Ana")
        ben.say("number -1")
        ana.hears("number -1")
        ana.page.evaluate(COUNT)
        flood(ben, ana, range(MANY))
        added, removed, changed = mutations(ana)
        assert MANY <= added <= 1.1 * MANY
        assert (removed, changed) == (0, 0)
        assert shown(ana) == [f"number {number}" for number in range(-1, MANY)]
        expect(ana.log.get_by_text(f"number {MANY - 1}", exact=True)).to_be_in_viewport()
        assert ana.page.evaluate(LAID_OUT) < MANY / 2  # what is far out of sight costs nothing

        ana.log.get_by_text("number 500", exact=True).scroll_into_view_if_needed()
        middle = place(ana, 500)
        flood(ben, ana, range(MANY, MANY + 50))
        assert abs(place(ana, 500) - middle) < 1  # a browser counts in parts of a pixel

        ana.log.focus()
        ana.page.keyboard.press("Home")
        expect(ana.log.get_by_text("number -1", exact=True)).to_be_in_viewport()
        top = place(ana, -1)
        flood(ben, ana, range(MANY + 50, KEPT + 100))
        assert abs(place(ana, -1) - top) < 1

        ana.page.get_by_role("button", name="New messages").click()
        flood(ben, ana, range(KEPT + 100, KEPT + 101))
        expect(ana.log.get_by_text(f"number {KEPT + 100}", exact=True)).to_be_in_viewport()
        assert shown(ana) == [f"number {number}" for number in range(101, KEPT + 101)]
