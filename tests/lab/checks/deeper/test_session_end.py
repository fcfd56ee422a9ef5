"""Verdicts on the handler of deeper/sessions: the stub, the solutions, and the answers that people really give."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from fastapi import WebSocket, WebSocketDisconnect
from lab.checks.manager import check_session_end

from tests.lab.checks.verdicts import verdict

Answer = Callable[..., Any]


async def until_expired(websocket: WebSocket, seconds: float) -> None:
    """The solution."""
    await websocket.accept()
    try:
        async with asyncio.timeout(seconds):
            async for text in websocket.iter_text():
                await websocket.send_text(text)
    except TimeoutError:
        await websocket.close(4001, "the session has expired")


async def with_wait_for(websocket: WebSocket, seconds: float) -> None:
    """The same with the conversation as a function of its own."""
    await websocket.accept()
    try:
        await asyncio.wait_for(_echo(websocket), seconds)
    except TimeoutError:
        await websocket.close(4001)


async def _echo(websocket: WebSocket) -> None:
    with suppress(WebSocketDisconnect):
        while True:
            await websocket.send_text(await websocket.receive_text())


async def with_what_is_left(websocket: WebSocket, seconds: float) -> None:
    """The same with a deadline, and what is left of it for each message."""
    await websocket.accept()
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while True:
        try:
            text = await asyncio.wait_for(websocket.receive_text(), end - loop.time())
        except TimeoutError:
            await websocket.close(4001)
            return
        except WebSocketDisconnect:
            return
        await websocket.send_text(text)


async def with_a_task(websocket: WebSocket, seconds: float) -> None:
    """The same with a task that closes, and is cancelled."""
    await websocket.accept()

    async def close() -> None:
        await asyncio.sleep(seconds)
        await websocket.close(4001)

    closing = asyncio.create_task(close())
    echoing = asyncio.create_task(_echo(websocket))
    _, pending = await asyncio.wait([closing, echoing], return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.wait([closing, echoing])


@pytest.mark.parametrize("answer", [until_expired, with_wait_for, with_what_is_left, with_a_task])
def test_a_handler_that_ends_with_its_session_passes(answer: Answer) -> None:
    """The solution passes, and so do other ways to do it."""
    passed = "passed: the connection ends with its session, however much is said, and a client may leave earlier"
    assert verdict(check_session_end, answer) == passed


async def stub(websocket: WebSocket, seconds: float) -> None:
    """The answer cell as it is."""
    await websocket.accept()
    raise NotImplementedError


async def never_accepts(websocket: WebSocket, seconds: float) -> None:
    """Begins with the echo."""
    await _echo(websocket)


async def never_closes(websocket: WebSocket, seconds: float) -> None:
    """Only the echo."""
    await websocket.accept()
    await _echo(websocket)


async def a_deadline_for_each_message(websocket: WebSocket, seconds: float) -> None:
    """Whoever talks stays for ever."""
    await websocket.accept()
    while True:
        try:
            text = await asyncio.wait_for(websocket.receive_text(), seconds)
        except TimeoutError:
            await websocket.close(4001)
            return
        await websocket.send_text(text)


async def closes_at_once(websocket: WebSocket, seconds: float) -> None:
    """Does not wait."""
    await websocket.accept()
    await websocket.close(4001)


async def closes_normally(websocket: WebSocket, seconds: float) -> None:
    """Forgets the code."""
    await websocket.accept()
    try:
        await asyncio.wait_for(_echo(websocket), seconds)
    except TimeoutError:
        await websocket.close()


async def does_not_catch(websocket: WebSocket, seconds: float) -> None:
    """The client sees 1006."""
    await websocket.accept()
    async with asyncio.timeout(seconds):
        await _echo(websocket)


async def sleeps_and_reads_nothing(websocket: WebSocket, seconds: float) -> None:
    """Nobody answers meanwhile."""
    await websocket.accept()
    await asyncio.sleep(seconds)
    await websocket.close(4001)


async def blocks_the_loop(websocket: WebSocket, seconds: float) -> None:
    """All clients wait."""
    await websocket.accept()
    time.sleep(seconds)  # noqa: ASYNC251 - the mistake
    await websocket.close(4001)


async def outlives_its_client(websocket: WebSocket, seconds: float) -> None:
    """Echoes in a task, and sleeps itself."""
    await websocket.accept()
    echoing = asyncio.create_task(_echo(websocket))
    await asyncio.sleep(seconds)
    echoing.cancel()
    with suppress(WebSocketDisconnect):
        await websocket.close(4001)


async def leaves_its_timer(websocket: WebSocket, seconds: float) -> None:
    """Nobody cancels what closes."""
    await websocket.accept()
    loop = asyncio.get_running_loop()

    async def close() -> None:
        await asyncio.sleep(seconds)
        await websocket.close(4001)

    closing = loop.create_task(close())
    await asyncio.wait([closing, loop.create_task(_echo(websocket))], return_when=asyncio.FIRST_COMPLETED)


async def fails_when_the_client_leaves(websocket: WebSocket, seconds: float) -> None:
    """Nobody catches the client's goodbye."""
    await websocket.accept()
    try:
        async with asyncio.timeout(seconds):
            while True:
                await websocket.send_text(await websocket.receive_text())
    except TimeoutError:
        await websocket.close(4001)


async def says_goodbye_first(websocket: WebSocket, seconds: float) -> None:
    """A text before the close frame."""
    await websocket.accept()
    try:
        await asyncio.wait_for(_echo(websocket), seconds)
    except TimeoutError:
        await websocket.send_text("log in again")
        await websocket.close(4001)


async def shouts(websocket: WebSocket, seconds: float) -> None:
    """The exercise of lesson 02."""
    await websocket.accept()
    try:
        async with asyncio.timeout(seconds):
            async for text in websocket.iter_text():
                await websocket.send_text(text.upper())
    except TimeoutError:
        await websocket.close(4001)


async def forgets_to_await(websocket: WebSocket, seconds: float) -> None:
    """Accepts nothing."""
    websocket.accept()  # type: ignore[unused-coroutine]
    await _echo(websocket)


def written_def(websocket: WebSocket, seconds: float) -> None:
    """No coroutine."""


WRONG = [
    (stub, "stub is still the stub"),
    (never_accepts, 'WebSocket is not connected. Need to call "accept" first'),
    (never_closes, "its client is quiet: nothing came, expected at 10 s the close code 4001; one deadline"),
    (
        a_deadline_for_each_message,
        "at 12 s 'at 12 s', expected at 10 s the close code 4001; one deadline for the whole",
    ),
    (closes_at_once, "at 0 s the close code 4001, expected at 10 s the close code 4001; the session hasn't ended yet"),
    (closes_normally, 'at 10 s the close code 1000, expected at 10 s the close code 4001; write `close(4001, "…")`'),
    (does_not_catch, "in the line `async with asyncio.timeout(seconds):`; catch it, and close with 4001 there"),
    (sleeps_and_reads_nothing, "at 10 s the close code 4001, expected at 3 s 'at 3 s'; answer each text"),
    (blocks_the_loop, "did not return within 1 s"),
    (outlives_its_client, "a client left after 4 s, and until_expired ran until 10 s; it must end with its client"),
    (leaves_its_timer, "until_expired has ended, and a task of it still runs; cancel and await it"),
    (fails_when_the_client_leaves, "the client left, and until_expired raised WebSocketDisconnect; catch it"),
    (says_goodbye_first, "at 10 s 'log in again', expected at 10 s the close code 4001"),
    (shouts, "at 3 s 'AT 3 S', expected at 3 s 'at 3 s'; answer each text with the same text"),
    (forgets_to_await, "`websocket.accept(…)` has no `await` in front of it"),
    (written_def, "is still the stub"),
    (lambda websocket, seconds: print(), "until_expired is a plain function; write `async def until_expired`"),
    (None, "expected a function"),
]


@pytest.mark.parametrize(("answer", "help_"), WRONG)
def test_a_wrong_handler_gets_a_verdict_that_helps(answer: Answer, help_: str) -> None:
    """The verdict on each typical mistake names the first moment at which something is wrong."""
    said = verdict(check_session_end, answer)
    assert said.startswith("not yet: ")
    assert help_ in said
