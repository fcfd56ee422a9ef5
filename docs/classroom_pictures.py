"""Take the pictures of a class that the teacher's guide shows: ``python -m docs.classroom_pictures``.

Eight students join a classroom's server, one of them on a phone; the teacher has made one slow, and all others talk.
The picture of a client in the browser is cut from one that ``tests/browser/test_lessons.py`` takes.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

from lab import join
from playwright.sync_api import Page, expect, sync_playwright
from pydantic import SecretStr

from docs.printing import chromium
from server import serve
from server.app import create_app
from server.settings import Settings

IMAGES = Path(__file__).resolve().parent / "teaching" / "images"
TALK = {  # Dan only listens: his own words would wait for their confirmation
    "Ben": "hello",
    "Cyd": "who is slow?",
    "Dan": "",
    "Eva": "not me",
    "Finn": "is Dan still here?",
    "Gil": "I hear everything",
    "Hana": "so do I",
}


def main() -> None:
    """Write the pictures."""
    settings = Settings(key=SecretStr("a secret of thirty-two characters"), classroom=True, demo_login=True)
    app = create_app(settings)
    with serve(app, **settings.uvicorn_options) as server, sync_playwright() as playwright:
        app.state.classroom.join = "http://192.168.1.5:8000/join"
        browser = playwright.chromium.launch(executable_path=chromium(), chromium_sandbox=False)
        teacher = browser.new_page(viewport={"width": 1180, "height": 640})
        teacher.goto(f"{server.http('/teacher')}#key={app.state.classroom.key}")
        phone = browser.new_page(viewport={"width": 390, "height": 700})
        _enter(phone, server.http("/"))
        students = {name: join(server.http("/"), name=name) for name in TALK}
        expect(teacher.get_by_role("heading", name="Students · 8")).to_be_visible()
        teacher.get_by_role("button", name="Slow Dan", exact=True).click()
        expect(teacher.get_by_role("row").filter(has_text="slow: 200 B/s")).to_be_visible()
        for _ in range(12):
            for name, text in TALK.items():
                if text:
                    students[name].say(text)
            time.sleep(0.15)  # so that nobody reaches a limit
        expect(phone.get_by_role("log", name="Messages").get_by_text("so do I")).to_have_count(12)
        expect(teacher.get_by_role("row").filter(has_text="slow: 200 B/s")).to_contain_text(re.compile(r"\b\d\d · "))
        teacher.screenshot(path=IMAGES / "teacher.png")
        phone.screenshot(path=IMAGES / "phone.png")
        for student in students.values():
            student.leave()
        browser.close()


def _enter(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_label("Your name").fill("Ana")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("online")


if __name__ == "__main__":
    main()
