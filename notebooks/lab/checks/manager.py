"""Checks of the exercises of lesson 03."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import WebSocket
from websockets.exceptions import ConnectionClosed

from ..patience import remaining
from ..trial import Trial
from ..trial_client import TrialClient
from ..verdict import NotYet, judged, reason_of, refuse_stub, result_of, shown

__all__ = ["check_devices", "check_typing", "check_who"]

Handler = Any  # whatever the reader has written

PATH = "/ws/{user}"


# exercise 1

REPLACED = 4004
MOST = 3


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
    """The first of four is closed with 4004, and no other."""
    while remaining() > 0 and not any(map(_has_ended, (ben, *ana))):
        time.sleep(0.002)
    if _has_ended(ben):
        raise NotYet("a fourth connection of ana closed ben's; count the connections of each user alone")
    if _has_ended(ana[3]):
        why = trial.failure() or f"code {ana[3].closed().code}"
        raise NotYet(f"ana's fourth connection itself was closed ({why}); close her oldest, and let the new one stay")
    if _has_ended(ana[1]) or _has_ended(ana[2]):
        raise NotYet("a fourth connection of ana came, and not her oldest was closed; keep them in their order")
    if not _has_ended(ana[0]):
        raise NotYet("ana has four connections, and all are open; close the oldest with 4004")
    if (code := ana[0].closed().code) != REPLACED:
        why = trial.failure() or 'say why: `close(4004, "…")`'
        raise NotYet(f"ana's oldest connection was closed with {code}, expected {REPLACED}; {why}")


def _has_ended(client: TrialClient) -> bool:
    return client.connection.close_code is not None


def _expect_open(trial: Trial, when: str, **clients: TrialClient) -> None:
    """Each client's server still answers its ping, behind whatever else it has sent."""
    for name, client in clients.items():
        user, _, number = name.partition("_")
        whose = f"{user}'s connection{f' number {number}' if number else ''}"
        try:
            answered = client.connection.ping().wait(remaining())
        except ConnectionClosed:
            answered = False
        if not answered or _has_ended(client):
            why = trial.failure() or f"code {client.closed().code}"
            raise NotYet(f"{when}, and {whose} was closed: {why}; {_device_hint(when)}")


def _device_hint(when: str) -> str:
    if "left" in when:
        return "who leaves makes room again, in a `finally`"
    if "fourth" in when:
        return "one more closes only the oldest"
    return f"{MOST} are allowed, so keep each of them until its client leaves"


def _expect_no_failure(trial: Trial) -> None:
    if failure := trial.failure():
        raise NotYet(f"the right ones were closed, but {failure}; who was replaced is no longer in the list")


# exercise 2

PAUSE = 2.0
KEYS = ((0.0, "ana"), (1.0, "ana"), (1.5, "ben"), (6.0, "ana"))
"""When, in seconds, who presses a key."""
TOLD = (
    (0.0, "ana is typing"),
    (1.5, "ben is typing"),
    (3.0, "ana stopped"),
    (3.5, "ben stopped"),
    (6.0, "ana is typing"),
    (8.0, "ana stopped"),
)
"""What the room hears then."""
END = 12.0

Told = tuple[float, str]


@judged("each is told once, and it stops by itself after the last key of each user")
def check_typing(typing_indicator: Callable[..., Any]) -> None:
    """Check ``typing_indicator(tell, pause)``: it tells when a user begins to type, and when it is over.

    The clock of this check does not run, it jumps to the next thing to do: no second is waited for.
    """
    refuse_stub(typing_indicator)

    def play() -> list[Told] | BaseException:
        return _play(typing_indicator)

    play.__name__ = getattr(typing_indicator, "__name__", "typing_indicator")
    outcome = result_of(play)
    if isinstance(outcome, NotYet):
        raise outcome
    if isinstance(outcome, BaseException):
        refuse_stub(typing_indicator, outcome)
        raise NotYet(f"typing_indicator raised {reason_of(outcome, typing_indicator)}")
    _compare(outcome)


class _JumpingSelector(selectors.SelectSelector):
    """Instead of waiting for a timer, it puts the clock on."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout:
            self.now += timeout
        return ready


def _play(typing_indicator: Callable[..., Any]) -> list[Told] | BaseException:
    """Press the keys, and note what is told when; or the exception that came of it."""
    selector = _JumpingSelector()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now  # type: ignore[method-assign]
    told: list[Told] = []
    failures: list[BaseException] = []

    def tell(text: object = None) -> None:
        told.append((round(loop.time(), 3), text if isinstance(text, str) else shown(text)))

    async def press_all() -> None:
        pressed = typing_indicator(tell, PAUSE)
        if not callable(pressed):
            raise NotYet(f"typing_indicator returned {shown(pressed)}, expected the function to call at each key")
        for when, user in KEYS:
            await asyncio.sleep(when - loop.time())
            if isinstance(pressing := pressed(user), Awaitable):
                getattr(pressing, "close", lambda: None)()
                raise NotYet("the function that is called at each key is a coroutine; write it with `def`")
        await asyncio.sleep(END - loop.time())

    loop.set_exception_handler(
        lambda _, context: failures.append(context.get("exception") or NotYet(context["message"]))
    )
    try:
        loop.run_until_complete(press_all())
        _end_tasks(loop, failures)
    except Exception as error:
        failures.append(error)
    finally:
        loop.close()
    return failures[0] if failures else told


def _end_tasks(loop: asyncio.AbstractEventLoop, failures: list[BaseException]) -> None:
    """End what the reader has started, and collect what has failed in it."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    results = loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True)) if tasks else []
    failures += [error for error in results if isinstance(error, Exception)]


def _compare(told: list[Told]) -> None:
    """Say what the first difference means."""
    for got, expected in zip([*told, None], [*TOLD, None], strict=False):
        if got != expected:
            raise NotYet(_typing_hint(got, expected, told))


def _typing_hint(got: Told | None, expected: Told | None, told: list[Told]) -> str:
    if expected is None and got is not None:
        return f"at {got[0]:g} s the room was told {shown(got[1])} once more; call off the timer that is not needed"
    assert expected is not None
    when, text = expected
    if got is None or got[0] > when:
        return _silence_hint(when, text)
    if got[1] == "ana is typing":
        return f"{_presses(got[0])}, and the room was told {got[1]!r} again; only the first key is news"
    if got[1] == "ana stopped" and got[0] < when:
        return f"ana's last key was at 1 s, and 'ana stopped' was told at {got[0]:g} s; call off the earlier timer"
    if got[0] == when:
        return f"{_presses(when)}, and the room was told {shown(got[1])}, expected {text!r}"
    return f"at {got[0]:g} s the room was told {shown(got[1])}, expected nothing until {text!r} at {when:g} s"


def _silence_hint(when: float, text: str) -> str:
    if (when, text) == TOLD[-2]:
        return (
            "ana had stopped and pressed a key again, and the room was told nothing; forget her timer when it is over"
        )
    if text.endswith("typing"):
        return f"{_presses(when)}, and the room was told nothing, expected {text!r}"
    user = text.split(maxsplit=1)[0]
    last = when - PAUSE
    return (
        f"{user}'s last key was at {last:g} s, and at {when:g} s the room was not told {text!r}; "
        f"start a timer for each user with `call_later(pause, …)`, in seconds"
    )


def _presses(when: float) -> str:
    return next((f"{user} pressed a key at {at:g} s" for at, user in reversed(KEYS) if at <= when), f"at {when:g} s")


# exercise 3


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
                    if isinstance(doing := on_text(manager, user, outbox, text), Awaitable):
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
    """Ask until Ben is no longer there: his handler may still be ending."""
    while True:
        ana.send("/who")
        got = ana.receive("'here: ana'")
        if got == "here: ana":
            return
        if not remaining() or got != "here: ana, ben":
            raise NotYet(f"ben has left, and /who says {shown(got)}, expected 'here: ana'")
        time.sleep(0.01)
