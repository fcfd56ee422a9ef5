"""The chat that the notebooks about testing test."""

from __future__ import annotations

from typing import Any

import pytest
from lab import chat_app

from server.testing import eventually
from server.testing.contexts import serving, websockets_open


def names(app: Any) -> list[str]:
    """Who is listed."""
    return sorted(app.state.room.outboxes)


def test_everybody_hears_who_comes_and_what_is_said() -> None:
    """Ana and Ben, in their order."""
    app = chat_app()
    with serving() as serve, websockets_open() as websocket:
        server = serve(app)
        ana = websocket(server, "/ws/ana")
        assert ana.recv() == "ana is here"
        ben = websocket(server, "/ws/ben")
        assert ana.recv() == "ben is here"
        ana.send("hello")
        ben.recv_until("ana: hello")
        assert names(app) == ["ana", "ben"]
        ben.close()
        eventually(names, app, equals=["ana"])
        assert app.state.room.visits == 2


def test_delay_is_between_the_handshake_and_the_room() -> None:
    """Who waits is connected, and not listed."""
    app = chat_app(delays={"ben": 60})
    with serving() as serve, websockets_open() as websocket:
        ben = websocket(serve(app), "/ws/ben")
        with pytest.raises(TimeoutError):
            ben.recv(0.05)
        assert names(app) == []
