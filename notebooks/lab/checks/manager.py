"""Checks of the exercises of lesson 03."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import WebSocket
from websockets.exceptions import ConnectionClosed

from ..patience import remaining
from ..trial import Trial
from ..trial_client import TrialClient
from ..verdict import NotYet, judged, refuse_stub, shown
from .manager_typing import check_typing

__all__ = ["check_devices", "check_typing", "check_who"]

Handler = Any  # whatever the reader has written

PATH = "/ws/{user}"


# exercise 1

REPLACED = 4004
ABNORMAL = 1006
MOST = 3
SOON = 0.3  # seconds within which all have been closed that are closed together


@judged("a user's fourth connection closes that user's oldest with 4004, and nobody else's")
def check_devices(three_devices: Handler) -> None:
    """Check ``three_devices(websocket, user)``: it keeps the three newest connections of each user."""
    with Trial(three_devices, path=PATH) as trial:
        ben, *ana = (trial.connect(f"/ws/{user}") for user in ("ben", "ana", "ana", "ana"))
        _expect_open(trial, "ana has three connections and ben one", ben=ben, **_numbered(ana))
        ana.append(trial.connect("/ws/ana"))
        _expect_replaced(trial, ben, ana)
        _expect_open(trial, "ana's fourth connection came", ben=ben, **_numbered(ana[1:], 2))
        ana[1].leave()
        ana.append(trial.connect("/ws/ana"))
        left = {"ben": ben, "ana_3": ana[2], "ana_4": ana[3], "ana_5": ana[4]}
        _expect_open(trial, "ana's second connection left and a fifth came, three in all", **left)
        for client in (ben, *ana[2:]):
            client.leave()
        trial.wait_ended()
        _expect_no_failure(trial)


def _numbered(clients: list[TrialClient], first: int = 1) -> dict[str, TrialClient]:
    return {f"ana_{number}": client for number, client in enumerate(clients, first)}


def _expect_replaced(trial: Trial, ben: TrialClient, ana: list[TrialClient]) -> None:
    """Of ana's four the oldest is closed with 4004; whether others are as well, is seen later."""
    while remaining() and not any(map(_has_ended, (ben, *ana))):
        time.sleep(0.01)
    until = time.monotonic() + SOON
    while remaining() and not _has_ended(ana[0]) and time.monotonic() < until:
        time.sleep(0.01)
    if not _has_ended(ana[0]):
        raise NotYet(_not_replaced(trial, ben, ana))
    if (code := ana[0].connection.close_code) != REPLACED:
        why = trial.failure() or 'write `close(4004, "…")`'
        raise NotYet(f"ana's oldest connection was closed with {code}, expected {REPLACED}; {why}")


def _not_replaced(trial: Trial, ben: TrialClient, ana: list[TrialClient]) -> str:
    if _has_ended(ben):
        return "a fourth connection of ana closed ben's; count each user's connections alone"
    if _has_ended(ana[3]):
        return f"ana's fourth connection itself was closed: {_end_of(ana[3], trial)}; close her oldest instead"
    if any(map(_has_ended, ana)):
        return "a fourth connection of ana came, and another than her oldest was closed; keep them in their order"
    return "ana has four connections, and all are open; close the oldest with 4004"


def _has_ended(client: TrialClient) -> bool:
    return client.connection.close_code is not None


def _expect_open(trial: Trial, when: str, **clients: TrialClient) -> None:
    """No client has been closed; a pong comes behind whatever else its server has sent."""
    for name, client in clients.items():
        user, _, number = name.partition("_")
        if not _is_open(client):
            whose = f"{user}'s connection{f' number {number}' if number else ''}"
            why, hint = _end_of(client, trial), _device_hint(when, user, client)
            raise NotYet(f"{when}, and {whose} was closed: {why}; {hint}")


def _is_open(client: TrialClient) -> bool:
    try:
        pong = client.connection.ping()
    except ConnectionClosed:
        return False
    while not pong.wait(0.01) and not _has_ended(client) and remaining():
        pass
    return pong.is_set() and not _has_ended(client)


def _end_of(client: TrialClient, trial: Trial) -> str:
    code = client.connection.close_code
    return (code == ABNORMAL and trial.failure()) or f"code {code}"


def _device_hint(when: str, user: str, client: TrialClient) -> str:
    if user == "ben" and client.connection.close_code == REPLACED:
        return "count each user's connections alone"
    if "left" in when:
        return "who leaves makes room again, in a `finally`"
    if "fourth" in when:
        return "one more closes only the oldest"
    return f"{MOST} are allowed, so keep each of them until its client leaves"


def _expect_no_failure(trial: Trial) -> None:
    if failure := trial.failure():
        raise NotYet(f"the right ones were closed, but {failure}; who was replaced is no longer in the list")


# exercise 3; that of exercise 2 is in manager_typing

TURNS = 30  # times that Ana asks before she believes what she hears


@judged("who asks is told who is here, each user once, and nobody else hears of it")
def check_who(on_text: Callable[..., Any]) -> None:
    """Check ``on_text(manager, user, outbox, text)``: ``/who`` is answered to the asker, the rest goes to all."""
    refuse_stub(on_text)
    with Trial(_chat_of(on_text), path=PATH) as trial:
        trial.handler, trial.name = on_text, getattr(on_text, "__name__", "on_text")
        ben, phone, ana = (trial.connect(f"/ws/{one}") for one in ("ben", "ana?device=phone", "ana"))
        _expect_who(ana, "here: ana, ben")
        ben.send("hi")
        for client, whose in ((ana, "ana"), (phone, "ana's phone"), (ben, "ben")):
            _expect_only(client, "ben: hi", whose)
        ben.leave()
        _expect_gone(ana)


class _Members:
    """What the reader's function uses of the lesson's manager."""

    def __init__(self) -> None:
        self.users: dict[str, dict[asyncio.Queue[str], str]] = {}

    def to_user(self, user: str, text: str) -> None:
        for outbox in self.users.get(user, ()):
            outbox.put_nowait(text)

    def to_all(self, text: str) -> None:
        for user in self.users:
            self.to_user(user, text)

    @contextmanager
    def entered(self, user: str, device: str, outbox: asyncio.Queue[str]) -> Iterator[None]:
        self.users.setdefault(user, {})[outbox] = device
        try:
            yield
        finally:
            del self.users[user][outbox]
            if not self.users[user]:
                del self.users[user]


def _chat_of(on_text: Callable[..., Any]) -> Handler:
    """A chat that hands each text to the reader's function."""
    manager = _Members()

    async def chat(websocket: WebSocket, user: str, device: str = "laptop") -> None:
        await websocket.accept()
        outbox: asyncio.Queue[str] = asyncio.Queue(100)
        writer = asyncio.create_task(_send_all(websocket, outbox))
        try:
            with manager.entered(user, device, outbox):
                async for text in websocket.iter_text():
                    if inspect.isawaitable(doing := on_text(manager, user, outbox, text)):
                        await doing
        finally:
            writer.cancel()
            await asyncio.wait([writer])

    return chat


async def _send_all(websocket: WebSocket, outbox: asyncio.Queue[str]) -> None:
    while True:
        await websocket.send_text(await outbox.get())


def _expect_who(client: TrialClient, expected: str) -> None:
    client.send("/who")
    try:
        client.expect(expected)
    except NotYet as missing:
        raise NotYet(f"{missing}{_who_hint(str(missing))}") from None


def _who_hint(missing: str) -> str:
    hints = {
        "got 'ana: /who'": "; a command is not said to the room",
        "ana, ana": "; each user once, whatever the number of devices",
        "['ana'": "; the names joined by ', '",
        "dict_keys": "; the names joined by ', '",
        "'here: ben, ana'": "; in alphabetical order",
        "laptop": "; the users, not their devices",
        "got nothing": "; put the answer into the asker's outbox: `post(outbox, …)`",
    }
    return next((hint for sign, hint in hints.items() if sign in missing), "")


def _expect_only(client: TrialClient, expected: str, whose: str) -> None:
    got = client.receive(shown(expected))
    if got == expected:
        return
    if isinstance(got, str) and ("here:" in got or "/who" in got):
        raise NotYet(f"ana asked /who, and {whose} heard {shown(got)} as well; only the asker's outbox gets the answer")
    raise NotYet(f"ben said 'hi', and {whose} heard {shown(got)}, expected {expected!r}")


def _expect_gone(ana: TrialClient) -> None:
    """Ben is no longer there; his handler may still be ending, so it gets some turns of the loop."""
    for _ in range(TURNS):
        ana.send("/who")
        got = ana.receive("'here: ana'")
        if got == "here: ana":
            return
    raise NotYet(f"ben has left, and /who says {shown(got)}, expected 'here: ana'")
