"""How many functions one message passes in the server, and that the picture of its path is current.

``pytest -s -n0 tests/server/app/test_trace.py`` prints each function with its reason: the shortest introduction to
``server/``.
"""

from __future__ import annotations

from .message_path import COMMAND, DOCS, Hop, chat_message, document, files, notification

CHAT, NOTIFICATION = 38, 46
"""The most functions that a message may pass; a change that shortens its path lowers these."""


def show(title: str, path: list[Hop]) -> None:
    """Print a path."""
    print(f"\n{title}: {len(path)} functions in {len(files(path))} files", *path, sep="\n    ")


def test_the_path_of_a_chat_message_stays_short() -> None:
    """From the bytes of one member of a room to the bytes for both."""
    path = chat_message()
    show("a chat message", path)
    assert "app/chat_requests.py" in files(path)
    assert len(path) <= CHAT


def test_the_path_of_a_notification_stays_short() -> None:
    """From a program's HTTP request to the device that watches."""
    path = notification()
    show("a notification", path)
    assert "app/routes.py" in files(path)
    assert len(path) <= NOTIFICATION


def test_the_picture_is_current() -> None:
    """It shows the files as they are."""
    written = {name: (DOCS / name).read_text(encoding="utf-8") for name in document()}
    assert written == document(), f"run: {COMMAND}"
