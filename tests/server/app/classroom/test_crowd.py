"""A whole class at once: 200 connections, of which three do what they should not."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from server.access.tokens import issue_session
from server.messages import CloseCode
from tests.server.people import KEY, Silent

from .lesson import Lesson, lesson

pytestmark = pytest.mark.anyio

STUDENTS = 200
MESSAGES = 30
ENDINGS = {"slow": CloseCode.TOO_SLOW, "loud": CloseCode.KICKED_FOR_SPAM}


async def come(room: Lesson, name: str) -> ClientConnection:
    """Connect and join the lobby."""
    headers = {"Authorization": f"Bearer {issue_session(name, key=KEY, seconds=60)}"}
    options: dict[str, Any] = {"proxy": None, "compression": None, "max_queue": None, "ping_interval": None}
    socket = await connect(room.server.url("/ws"), additional_headers=headers, **options)
    await socket.send('{"type":"join","room":"lobby"}')
    while json.loads(await socket.recv())["type"] != "joined":
        pass
    return socket


async def receive(socket: ClientConnection, *, to_the_end: bool) -> tuple[list[str], int | None]:
    """What is said, up to the last word, or to the end; and the code of the end."""
    heard: list[str] = []
    try:
        while to_the_end or len(heard) < MESSAGES:
            message = json.loads(await socket.recv())
            if message["type"] == "message" and message["user"] == "speaker":
                heard.append(message["text"])
    except ConnectionClosed as closed:
        return heard, closed.rcvd.code if closed.rcvd else int(CloseCode.ABNORMAL)
    return heard, None


async def flood(socket: ClientConnection) -> None:
    """Send more than a user may."""
    try:
        for _ in range(200):
            await socket.send("me! me! me!")
    except ConnectionClosed:
        pass


def endings(view: dict[str, Any]) -> dict[str, int]:
    """Who has gone, as the teacher sees it."""
    return {ending["user"]: ending["code"] for ending in view["ended"]}


async def talk(room: Lesson) -> dict[str, tuple[list[str], int | None]]:
    """Connect the class, let three misbehave and one speak; return what each received."""
    names = ["speaker", "slow", "loud", *(f"student {number}" for number in range(STUDENTS - 4))]
    async with asyncio.timeout(120), AsyncExitStack() as stack:
        sockets = await asyncio.gather(*(come(room, name) for name in names))
        for socket in sockets:
            stack.push_async_callback(socket.close)
        view = await asyncio.to_thread(room.teacher.until, lambda view: len(view["students"]) == STUDENTS)
        [number] = [student["id"] for student in view["students"] if student["user"] == "slow"]
        room.teacher.tell("slow", id=number, bytes_per_second=1)
        await asyncio.to_thread(room.teacher.until, lambda view: any(one["slow"] for one in view["students"]))
        listening = [
            asyncio.create_task(receive(socket, to_the_end=name in ("slow", "loud")))
            for name, socket in zip(names, sockets, strict=True)
        ]
        flooding = asyncio.create_task(flood(sockets[2]))
        for text in range(MESSAGES):
            await sockets[0].send(json.dumps({"type": "say", "room": "lobby", "text": str(text)}))
        await flooding
        await asyncio.to_thread(room.teacher.until, lambda view: endings(view) == ENDINGS)
        return dict(zip(names, await asyncio.gather(*listening), strict=True))


async def test_a_class_of_200_hears_everything_whatever_three_of_them_do() -> None:
    """One is slowed down, one floods, one never reads: the first two are closed, and the others don't notice."""
    with lesson(outbox_messages=20, connections=STUDENTS) as room, Silent(room.server, "silent"):
        room.chat.hall.until_handlers(2)
        heard = await talk(room)
        everything = [str(text) for text in range(MESSAGES)]
        assert {name: heard.pop(name)[1] for name in ENDINGS} == ENDINGS
        assert len(heard) == STUDENTS - 3
        assert [name for name, what in heard.items() if what != (everything, None)] == []
