"""Take the picture of the finished chat that README, map and site show: ``python -m docs.pictures``.

It starts the backend, lets Ana and Ben talk in two browsers, and sets both windows side by side.
"""

from __future__ import annotations

import base64
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright
from pydantic import SecretStr

from docs.printing import chromium
from server import serve
from server.app import create_app
from server.settings import Settings

PICTURE = Path(__file__).resolve().parents[1] / "notebooks" / "images" / "chat.png"
WINDOWS = {"Ana": (780, 540), "Ben": (330, 540)}  # pixels: a laptop and a phone
TALK = [
    ("Ben", "I lost the network twice."),
    ("Ana", "And you missed nothing?"),
    ("Ben", "Nothing. It resumed by itself."),
    ("Ana", "That was lesson 05."),
]
SETTING = """<!doctype html><style>
body { margin: 0; display: flex; gap: 30px; padding: 30px; background: linear-gradient(120deg, #1d4ed8, #0f766e); }
figure { margin: 0; border-radius: 10px; overflow: hidden; box-shadow: 0 14px 34px #0008; background: #e2e6ee; }
figcaption { font: 600 15px/38px system-ui, sans-serif; color: #1f2937; padding: 0 14px; }
figcaption::before { content: "● ● ●"; letter-spacing: 1px; margin-right: 14px; color: #94a3b8; }
img { display: block; }
</style>"""


def main() -> None:
    """Write the picture."""
    settings = Settings(key=SecretStr("a secret of thirty-two characters"), demo_login=True)
    with serve(create_app(settings)) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), chromium_sandbox=False)
        windows = {name: enter(browser, server.http(), name) for name in WINDOWS}
        expect(windows["Ana"].get_by_role("log", name="Messages")).to_contain_text("Ben joined")
        for name, text in TALK:
            windows[name].get_by_label("Message", exact=True).fill(text)
            windows[name].keyboard.press("Enter")
            for window in windows.values():
                expect(window.get_by_role("log", name="Messages")).to_contain_text(text)
        figures = [figure(name, window) for name, window in windows.items()]
        setting = browser.new_page(viewport={"width": 1200, "height": 640})
        setting.set_content(SETTING + "".join(figures))
        PICTURE.write_bytes(setting.screenshot())
        browser.close()
    print(PICTURE)


def enter(browser: Browser, address: str, name: str) -> Page:
    """Open the page in a browser of its own and log in."""
    width, height = WINDOWS[name]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme="light")
    page = context.new_page()
    page.goto(address)
    page.get_by_label("Your name").fill(name)
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("online")
    return page


def figure(name: str, window: Page) -> str:
    """Return a window as HTML, with a title bar."""
    width, height = WINDOWS[name]
    picture = base64.b64encode(window.screenshot()).decode()
    source = f"data:image/png;base64,{picture}"
    return f'<figure><figcaption>{name}</figcaption><img src="{source}" width="{width}" height="{height}"></figure>'


if __name__ == "__main__":
    main()
