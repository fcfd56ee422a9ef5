"""Checks of the exercises of lesson 03."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from fastapi import WebSocket
from websockets.exceptions import ConnectionClosed

from .deeper.capacity import check_capacity
from .deeper.quiet import check_quiet_test
from .deeper.room_limit import check_room_limit
from .deeper.session_end import check_session_end
from .deeper.testing import check_frozen_test, check_ghost_test
from .harness.client import TrialClient
from .harness.time_budget import remaining
from .harness.trial import Trial
from .manager_typing import check_typing
from .verdict import NotYet, judged, refuse_stub, shown

__all__ = [
    "check_capacity",
    "check_devices",
    "check_frozen_test",
    "check_ghost_test",
    "check_quiet_test",
    "check_room_limit",
    "check_session_end",
    "check_typing",
    "check_who",
]

Handler = Any  # whatever the reader has written

PATH = "/ws/{user}"


# exercise 1

REPLACED = 4004
ABNORMAL = 1006
MOST = 3
SOON = 0.3  # seconds within which all have been closed that are closed together
PONG = 5.0  # seconds; a busy machine may need more than one
MEETING = 1.0  # seconds that a close waits for the next newcomer; one that comes needs a few milliseconds
LATE = "first put the new one into the list and take the oldest one out, and only then await its close"


@judged("a user's fourth connection closes that user's oldest with 4004, and nobody else's")
def check_devices(three_devices: Handler) -> None:
    """Check ``three_devices(websocket, user)``: it keeps the three newest connections of each user."""
    meeting = _Meeting()
    with Trial(three_devices, path=PATH, around=meeting) as trial:
        ben, *ana = (trial.connect(f"/ws/{user}") for user in ("ben", "ana", "ana", "ana"))
        _expect_open(trial, "ana has three connections and ben one", ben=ben, **_numbered(ana))
        ana.append(trial.connect("/ws/ana"))
        _expect_replaced(trial, ben, ana)
        _expect_open(trial, "ana's fourth connection came", ben=ben, **_numbered(ana[1:], 2))
        meeting.begin()
        ana += [trial.connect("/ws/ana"), trial.connect("/ws/ana")]
        _expect_both_replaced(trial, ana)
        _expect_open(trial, TWO_AT_ONCE, ben=ben, **_numbered(ana[3:], 4))
        ana[3].leave()
        ana.append(trial.connect("/ws/ana"))
        _expect_open(
            trial, "ana's fourth connection ended and another came, three in all", ben=ben, **_numbered(ana[4:], 5)
        )
        for client in (ben, *ana[4:]):
            client.leave()
        trial.wait_ended()
        _expect_no_failure(trial)


TWO_AT_ONCE = "ana's fifth and sixth connection came at the same moment"


class _Meeting:
    """Lets two newcomers meet: the first one's close of another connection waits until the second one has acted, too.

    In a quiet moment a close takes no time, so a handler that does things in the wrong order would get away with it.
    """

    def __init__(self) -> None:
        self._has_begun = False
        self._newcomers = 0
        self._closes = 0
        self._both_acted: asyncio.Event | None = None

    def begin(self) -> None:
        """Count the connections that come from now on; call it before they come."""
        self._has_begun = True

    async def __call__(self, app: Any, scope: Any, receive: Any, send: Any) -> None:
        """Run the app for one connection."""
        if not self._has_begun:
            await app(scope, receive, self._sends(send))
            return
        if self._both_acted is None:
            self._both_acted = asyncio.Event()
        self._newcomers += 1
        await app(scope, self._receives(receive, self._newcomers), self._sends(send))

    def _receives(self, receive: Any, newcomer: int) -> Any:
        events = 0

        async def receive_event() -> Any:
            nonlocal events
            events += 1
            if newcomer == 2 and events == 2 and self._both_acted is not None:  # the first is its connect
                self._both_acted.set()
            return await receive()

        return receive_event

    def _sends(self, send: Any) -> Any:
        async def send_event(event: Any) -> None:
            if event["type"] == "websocket.close" and self._both_acted and not self._both_acted.is_set():
                self._closes += 1
                if self._closes == 2:
                    self._both_acted.set()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._both_acted.wait(), MEETING)
            await send(event)

        return send_event


def _numbered(clients: list[TrialClient], first: int = 1) -> dict[str, TrialClient]:
    return {f"ana_{number}": client for number, client in enumerate(clients, first)}


def _expect_replaced(trial: Trial, ben: TrialClient, ana: list[TrialClient]) -> None:
    """Expect the oldest of ana's four to be closed with 4004; `_expect_open` looks at the others later."""
    while remaining() and not any(map(_has_ended, (ben, *ana))):
        time.sleep(0.01)
    _wait_for_end(ana[0])
    if not _has_ended(ana[0]):
        raise NotYet(_not_replaced(trial, ben, ana))
    if (code := ana[0].connection.close_code) != REPLACED:
        why = trial.failure() or 'write `close(4004, "…")`'
        raise NotYet(f"ana's oldest connection was closed with {code}, expected {REPLACED}; {why}")


def _wait_for_end(client: TrialClient) -> None:
    until = time.monotonic() + SOON
    while remaining() and not _has_ended(client) and time.monotonic() < until:
        time.sleep(0.01)


def _not_replaced(trial: Trial, ben: TrialClient, ana: list[TrialClient]) -> str:
    if _has_ended(ben):
        return "ana's fourth connection closed ben's; count each user's connections separately"
    if _has_ended(ana[3]):
        return f"ana's fourth connection itself was closed: {_end_of(ana[3], trial)}; close her oldest instead"
    if any(map(_has_ended, ana)):
        return "ana's fourth connection came, and one that is not her oldest was closed; keep them in order"
    return "ana has four connections, and all are open; close the oldest with 4004"


def _expect_both_replaced(trial: Trial, ana: list[TrialClient]) -> None:
    """Expect ana's second and third connection to be closed, because two more came at the same moment."""
    while remaining() and not (_has_ended(ana[1]) and _has_ended(ana[2])) and not any(map(_has_ended, ana[3:])):
        time.sleep(0.01)
    for number, client in enumerate(ana[1:3], 2):
        if not _has_ended(client):
            why = trial.failure() or "four are open"
            raise NotYet(f"{TWO_AT_ONCE}, and her connection number {number} was not closed: {why}; {LATE}")


def _has_ended(client: TrialClient) -> bool:
    return client.connection.close_code is not None


def _expect_open(trial: Trial, when: str, **clients: TrialClient) -> None:
    """Expect no client to be closed; a pong arrives after everything else that the server has sent."""
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
    until = time.monotonic() + PONG
    while not pong.wait(0.01) and not _has_ended(client) and time.monotonic() < until:
        pass
    return pong.is_set() and not _has_ended(client)


def _end_of(client: TrialClient, trial: Trial) -> str:
    code = client.connection.close_code
    return (code == ABNORMAL and trial.failure()) or f"code {code}"


def _device_hint(when: str, user: str, client: TrialClient) -> str:
    if user == "ben" and client.connection.close_code == REPLACED:
        return "count each user's connections separately"
    if "ended" in when:
        return "when a connection ends, remove it in a `finally`, so that its place is free again"
    if when == TWO_AT_ONCE:
        return LATE
    if "fourth" in when:
        return "a fourth connection closes only the oldest"
    return f"{MOST} are allowed, so keep each of them until its client leaves"


def _expect_no_failure(trial: Trial) -> None:
    if failure := trial.failure():
        raise NotYet(
            f"the right connections were closed, but {failure}; a replaced connection is no longer in the list"
        )


# exercise 2; that of exercise 3 is in manager_typing

TURNS = 30  # times that ana asks before the answer counts


@judged("the user who asks gets each name once, and nobody else gets question or answer")
def check_who(on_text: Callable[..., Any]) -> None:
    """Check ``on_text(manager, user, outbox, text)``: ``/who`` is answered to the asker, the rest goes to all."""
    refuse_stub(on_text)
    with Trial(_chat_of(on_text), path=PATH) as trial:
        trial.handler, trial.name = on_text, getattr(on_text, "__name__", "on_text")
        ben, phone, ana = (trial.connect(f"/ws/{one}") for one in ("ben", "ana", "ana"))
        _expect_who(ana, "here: ana, ben")
        for text in ("hi", "/whoever"):
            ben.send(text)
            for client, whose in ((ana, "ana"), (phone, "ana's phone"), (ben, "ben")):
                _expect_only(client, text, whose)
        ben.leave()
        _expect_gone(ana)


class Manager:
    """The part of the lesson's manager that the reader's function uses; its name stands in error messages."""

    def __init__(self) -> None:
        self.users: dict[str, list[asyncio.Queue[str]]] = {}

    def to_all(self, text: str) -> None:
        """Put a text into every outbox."""
        for outboxes in self.users.values():
            for outbox in outboxes:
                outbox.put_nowait(text)

    @contextmanager
    def entered(self, user: str, outbox: asyncio.Queue[str]) -> Iterator[None]:
        """Register an outbox while the block runs."""
        self.users.setdefault(user, []).append(outbox)
        try:
            yield
        finally:
            self.users[user].remove(outbox)
            if not self.users[user]:
                del self.users[user]


def _chat_of(on_text: Callable[..., Any]) -> Handler:
    """Return a chat that passes each text to the reader's function."""
    manager = Manager()

    async def chat(websocket: WebSocket, user: str) -> None:
        await websocket.accept()
        outbox: asyncio.Queue[str] = asyncio.Queue(100)
        writer = asyncio.create_task(_send_all(websocket, outbox))
        try:
            with manager.entered(user, outbox):
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
        "got 'ana: /who'": "; don't send a command to the room",
        "ana, ana": "; name each user once, however many devices they have",
        "['ana'": "; join the names with ', '",
        "dict_keys": "; join the names with ', '",
        "'here: ben, ana'": "; sort the names",
        "got nothing": "; put the answer into the asker's outbox: `post(outbox, …)`",
    }
    return next((hint for sign, hint in hints.items() if sign in missing), "")


def _expect_only(client: TrialClient, text: str, whose: str) -> None:
    expected = f"ben: {text}"
    try:
        got = client.receive(shown(expected))
    except NotYet as missing:
        raise NotYet(f"{missing}{_command_hint(text)}") from None
    if got == expected:
        return
    if text == "hi" and isinstance(got, str) and ("here:" in got or "/who" in got):
        raise NotYet(f"ana asked /who, and {whose} heard {shown(got)} as well; only the asker's outbox gets the answer")
    raise NotYet(f"ben said {text!r}, and {whose} heard {shown(got)}, expected {expected!r}{_command_hint(text)}")


def _command_hint(text: str) -> str:
    return "; only the whole text '/who' is the command" if text.startswith("/") else ""


def _expect_gone(ana: TrialClient) -> None:
    """Expect ben to be gone; his handler may still be ending, so ask several times."""
    for _ in range(TURNS):
        ana.send("/who")
        got = ana.receive("'here: ana'")
        if got == "here: ana":
            return
    raise NotYet(f"ben has left, and /who says {shown(got)}, expected 'here: ana'")
