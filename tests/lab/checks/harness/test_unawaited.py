"""A forgotten `await` is found in the source, and nothing else is taken for one."""

from __future__ import annotations

import asyncio

import pytest
from fastapi import WebSocket
from lab.checks.harness.trial import Trial
from lab.checks.harness.unawaited import unawaited
from lab.checks.verdict import NotYet


async def _forgets(websocket: WebSocket) -> None:
    await websocket.accept()
    websocket.send_text("hi")  # type: ignore[unused-coroutine]


async def _forgets_under_another_name(phone: WebSocket) -> None:
    phone.accept()  # type: ignore[unused-coroutine]


async def _forgets_inside(websocket: WebSocket) -> None:
    async def tell() -> None:
        websocket.send_json([])  # type: ignore[unused-coroutine]

    await tell()


async def _awaits(websocket: WebSocket) -> None:
    await websocket.accept()
    await asyncio.wait_for(websocket.receive_text(), 3)
    receiving = asyncio.ensure_future(websocket.receive_text())
    await receiving
    await asyncio.gather(websocket.send_text("a"), websocket.send_text("b"))


@pytest.mark.parametrize(
    ("handler", "found"),
    [
        (_forgets, "websocket.send_text(…)"),
        (_forgets_under_another_name, "phone.accept(…)"),
        (_forgets_inside, "websocket.send_json(…)"),
        (_awaits, None),
        (len, None),
    ],
)
def test_only_a_forgotten_await_is_found(handler: object, found: str | None) -> None:
    """A line that is only a call does nothing; a call whose result is used may be awaited elsewhere."""
    assert unawaited(handler) == found  # type: ignore[arg-type]


def test_every_trial_names_it() -> None:
    """Whatever the exercise asks for, the verdict is about the await."""
    with pytest.raises(NotYet, match=r"`websocket\.send_text\(…\)` has no `await` in front of it"):
        Trial(_forgets)
