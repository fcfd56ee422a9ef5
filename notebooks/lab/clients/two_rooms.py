"""A room in two processes that share an engine, and one message across: ``print(hello_across(SharedRoom))``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from websockets.sync.client import connect

from ..servers.room_app import Room, room_app
from ..servers.two_processes import serve_two_processes
from ..servers.valkey import Engine

__all__ = ["hello_across"]

DEADLINE = 15.0  # seconds until both must have heard it


def hello_across(make_room: Callable[[str, str], Room]) -> str:
    """Say hello from one process to another: ``print(hello_across(SharedRoom))``.

    Two processes each serve ``make_room(url, channel)``, with the address of one engine and the name of a channel on
    it. Ana is connected to one of them, and Ben to the other. Ana says "hello" and "bye".

    Returns:
        What each of them heard first and second; or a text that says why no engine can run here.

    Raises:
        TimeoutError: one of them did not hear two messages within 15 s each.
    """
    if reason := Engine.missing():
        return reason

    def make_app(*args: str) -> Any:
        return room_app(make_room(*args))

    with (
        Engine() as engine,
        serve_two_processes(make_app, engine.url, engine.prefix) as (left, right),
        connect(left.url("/ws"), proxy=None) as ana,
        connect(right.url("/ws"), proxy=None) as ben,
    ):
        ana.send("hello")
        ana.send("bye")
        heard = [[client.recv(timeout=DEADLINE) for _ in range(2)] for client in (ana, ben)]
    return f"ana hears {heard[0]}, ben hears {heard[1]}"
