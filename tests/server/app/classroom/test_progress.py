"""What students share with their teacher: by whom, how much, and for whom to see."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from server.access.tokens import issue_session
from server.app.classroom import progress
from tests.server.people import KEY, Person

from .lesson import Lesson, lesson

DONE = {"01-handshake": {"check_accept_key": True, "check_refusal": False}}


@pytest.fixture
def room() -> Iterator[Lesson]:
    """A class."""
    with lesson() as open_lesson:
        yield open_lesson


def share(room: Lesson, body: Any, *, name: str | None = "ana", **headers: str) -> int:
    """Share it under a name; the status of the answer."""
    if name is not None:
        headers["Authorization"] = f"Bearer {issue_session(name, key=KEY, seconds=60)}"
    return httpx.post(room.server.http("/classroom/progress"), json=body, headers=headers, trust_env=False).status_code


def test_shared_progress_is_shown(room: Lesson) -> None:
    """To the teacher, beside each connection of its user; and the next report takes its place."""
    with Person(room.server, "ana"), Person(room.server, "ben"):
        assert share(room, {"lessons": DONE}) == 204
        room.teacher.until(lambda view: [student["progress"] for student in view["students"]] == [DONE, None])
        assert share(room, {"lessons": {}}) == 204
        room.teacher.until(lambda view: [student["progress"] for student in view["students"]] == [{}, None])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"lessons": DONE, "more": 1},
        {"lessons": {"01 handshake": {}}},
        {"lessons": {"x" * 65: {}}},
        {"lessons": {"01": {"check": "yes"}}},
        {"lessons": {str(number): {} for number in range(21)}},
        {"lessons": {"01": dict.fromkeys(map(str, range(101)), True)}},
    ],
)
def test_an_invalid_report_is_refused(room: Lesson, body: Any) -> None:
    """Neither its names nor its numbers are of any length."""
    assert share(room, body) == 422


def test_sharing_needs_a_login(room: Lesson) -> None:
    """A session is needed, foreign pages are refused, and a report has the size limit of a message."""
    assert share(room, {"lessons": DONE}, name=None) == 401
    assert share(room, {"lessons": DONE}, Origin="https://elsewhere.example") == 403
    assert share(room, {"lessons": {"x" * 20_000: {}}}) == 413


def test_the_number_of_reports_is_limited(room: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that makes up names does not fill the server; who has told nothing for longest is forgotten."""
    monkeypatch.setattr(progress, "MOST_USERS", 1)
    with Person(room.server, "ana"), Person(room.server, "ben"):
        for name in ("ana", "ben"):
            assert share(room, {"lessons": DONE}, name=name) == 204
        room.teacher.until(lambda view: [student["progress"] for student in view["students"]] == [None, DONE])
