"""The synopsis of a lesson is a program that a reader can take home and run."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from server import BackgroundServer, serve

from .lesson import LESSONS, Lesson

WHOLE = ("01", "02", "03")  # whose synopsis is the whole chat so far
OWN, FOREIGN = Origin("https://chat.example"), Origin("https://evil.example")  # only the first is allowed

lessons = {lesson.number: lesson for lesson in map(Lesson, LESSONS)}


def _program(number: str) -> dict[str, Any]:
    """The names that the code below the heading 'Synopsis' defines."""
    blocks = re.findall(r"```python\n(.*?)```", lessons[number].section("synopsis").prose, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile("\n".join(blocks), "chat.py", "exec", dont_inherit=True), names)  # not this file's `annotations`
    return names


def _ticket(server: BackgroundServer, session: str) -> httpx.Response:
    return httpx.post(server.http("/ticket"), cookies={"session": session})


@pytest.mark.parametrize("number", WHOLE)
def test_synopsis_is_a_whole_program(number: str) -> None:
    """It imports what it uses, and its endpoint starts and opens for a program."""
    with serve(_program(number)["chat"]) as server:
        secret = "token=sesame" if number < "03" else f"ticket={_ticket(server, 'k00kie').json()}"
        with connect(server.url(f"/ws?{secret}"), proxy=None) as client:
            assert client.ping().wait(30)


def test_the_chat_of_lesson_03_does_what_the_lesson_built() -> None:
    """A ticket is good once, a device has its name, a closed room is an error, and a foreign page gets 4003."""
    names = _program("03")
    names["sessions"]["c00kie"] = "ben"
    with serve(names["chat"]) as server:
        assert _ticket(server, "guessed").status_code == 401
        url = server.url(f"/ws?ticket={_ticket(server, 'c00kie').json()}&device=phone")
        with connect(url, proxy=None, origin=OWN) as ben:
            assert '"users":["ben"]' in ben.recv(timeout=30)
            assert names["manager"].devices("ben") == ("phone",)
            with pytest.raises(InvalidStatus, match="401"), connect(url, proxy=None):
                pass
            ben.send(names["Say"](text="/join office").encode())
            assert "a room that is open to you" in ben.recv(timeout=30)
            ben.send(names["Say"](text="hello").encode())
            assert '"ben: hello"' in ben.recv(timeout=30)
        foreign = server.url(f"/ws?ticket={_ticket(server, 'c00kie').json()}")
        with connect(foreign, proxy=None, origin=FOREIGN) as page, pytest.raises(ConnectionClosed):
            page.recv(timeout=30)
        assert page.close_code == 4003
