"""Devices that watch an inbox, and programs that push, for the tests of notifications."""

from __future__ import annotations

from typing import Any, cast

import httpx

from server import BackgroundServer, ServerProcess
from server.access.tokens import issue_session
from tests.server.people import KEY, Person

__all__ = ["Device", "bearer", "push", "pusher", "written"]


def bearer(name: str, *, scope: str = "", seconds: int = 60, key: str = KEY) -> dict[str, str]:
    """The header that proves a name."""
    return {"Authorization": f"Bearer {issue_session(name, key=key, seconds=seconds, scope=scope)}"}


def pusher(server: BackgroundServer | ServerProcess, **options: Any) -> httpx.Client:
    """A program that may push."""
    return httpx.Client(base_url=server.http(), headers=bearer("shop", scope="push"), trust_env=False, **options)


def push(shop: httpx.Client, user: str, **content: Any) -> dict[str, Any]:
    """Push to a user; the position that it got."""
    answer = shop.post(f"/users/{user}/notifications", json={"kind": "order", "text": "shipped"} | content)
    assert answer.status_code == 202, answer.text
    position: dict[str, Any] = answer.json()["position"]
    return position


def written(position: dict[str, Any]) -> str:
    """A position as an address has it."""
    return f"{position['epoch']}:{position['offset']}"


class Device(Person):
    """A device of a user, in no room."""

    def __init__(
        self, server: BackgroundServer | ServerProcess, user: str, *, device: str = "", seconds: int = 60
    ) -> None:
        super().__init__(cast(BackgroundServer, server), user, room=None, device=device, seconds=seconds)
        assert self.receive("welcome")["user"] == user

    def watch(self, **wish: Any) -> dict[str, Any]:
        """Watch the inbox; what the server says of it."""
        self.send(type="watch", id="w", **wish)
        inbox = self.receive("inbox")
        assert inbox["id"] == "w"
        return inbox

    def ack(self, position: dict[str, Any]) -> None:
        """Say what has been read."""
        self.send(type="ack", position=position)

    def texts(self, count: int) -> list[str]:
        """The next so many notifications; nothing else may come in between."""
        heard = [self.next() for _ in range(count)]
        assert [message["type"] for message in heard] == ["notification"] * count, heard
        return [message["text"] for message in heard]
