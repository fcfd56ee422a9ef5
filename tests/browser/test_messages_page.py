"""The page of the wire protocol in a real Chromium: drawn from the served document, and from nobody else."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from server import serve
from server.app import create_app
from server.app.docs.asyncapi import incoming, outgoing
from server.settings import Settings

from .conftest import SCREENSHOTS
from .test_page import AXE, DESK, KEY, PHONE


@pytest.mark.parametrize(("device", "scheme"), [(DESK, "light"), (PHONE, "dark")], ids=["desk", "phone"])
def test_every_message_can_be_read(browser: Browser, device: dict[str, object], scheme: str) -> None:
    """Each with its fields; axe finds nothing, and nothing is asked of anybody else."""
    hosts: set[str] = set()
    errors: list[str] = []
    with serve(create_app(Settings(key=KEY))) as server:
        context = browser.new_context(**device, color_scheme=scheme)  # type: ignore[arg-type]
        page = context.new_page()
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(server.http("/docs/messages/"))
        for model in [*incoming(), *outgoing()]:
            region = page.get_by_role("region", name=f"Fields of {model.__name__}", exact=True)
            expect(region.get_by_role("row")).to_have_count(len(model.model_fields) + 1)
        expect(page.get_by_role("region", name="Close codes")).to_contain_text("TOO_SLOW")
        width = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert width == 0, "the page is wider than the screen"
        page.evaluate(AXE.read_text())
        assert page.evaluate("axe.run().then(result => result.violations.map(one => one.id))") == []
        SCREENSHOTS.mkdir(exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"messages-{scheme}.png")
        context.close()
    assert hosts == {f"127.0.0.1:{server.port}"}
    assert errors == []
