"""The finished backend in a process: configured by name, killed, and back on its port with its log."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest
from lab.servers.backend import serve_backend
from pydantic import ValidationError

from server.access.tokens import issue_session

KEY = "a key of this test, and of no other thing"


def headers(user: str, scope: str = "") -> dict[str, str]:
    """Who asks."""
    return {"Authorization": f"Bearer {issue_session(user, key=KEY, seconds=60, scope=scope)}"}


def test_a_killed_backend_comes_back_with_its_log(tmp_path: Path) -> None:
    """After kill -9 and restart it answers on the same port, and has what it had accepted."""
    environment = dict(os.environ)
    with serve_backend(key=KEY, broker=f"sqlite:{tmp_path}/log.sqlite") as backend:
        address = backend.http("/users/ana/notifications")
        push = {"kind": "order", "text": "shipped"}
        assert httpx.post(address, json=push, headers=headers("shop", "push")).status_code == httpx.codes.ACCEPTED
        port = backend.port
        backend.kill()
        assert not backend.alive
        backend.restart()
        assert backend.port == port
        inbox = httpx.get(backend.http("/notifications"), params={"last": 10}, headers=headers("ana")).json()
    assert [one["text"] for one in inbox["notifications"]] == ["shipped"]
    assert dict(os.environ) == environment


@pytest.mark.anyio
async def test_until_dead_sees_a_kill_by_hand_and_gives_up() -> None:
    """It returns when the process has been killed, or when the seconds have passed."""
    with serve_backend(key=KEY) as backend:
        await backend.until_dead(seconds=0.01)
        assert backend.alive
        os.kill(backend.pids[0], 9)
        await backend.until_dead(seconds=5)
        assert not backend.alive


def test_a_wrong_setting_is_told_before_anything_starts() -> None:
    """A value that the settings refuse is the caller's error, not a process's."""
    with pytest.raises(ValidationError, match="key"):
        serve_backend(key="short")
