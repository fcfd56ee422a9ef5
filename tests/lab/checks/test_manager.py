"""The verdicts of lesson 03: the stub, the solution, and the answers that people really give."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import WebSocket
from lab.checks.manager import check_devices, check_typing, check_who

from tests.lab.checks.verdicts import verdict

Check = Callable[[Any], object]
Answer = Callable[..., Any]


# exercise 1

Here = dict[WebSocket, str]


@pytest.fixture(autouse=True)
def here() -> Here:
    """Who is connected, oldest first; for the answers below."""
    _here.clear()
    return _here


_here: Here = {}


def of(user: str) -> list[WebSocket]:
    """The connections of one user."""
    return [one for one, owner in _here.items() if owner == user]


async def listen(websocket: WebSocket) -> None:
    """Until the client leaves."""
    async for _ in websocket.iter_text():
        pass


async def three_devices(websocket: WebSocket, user: str) -> None:
    """The solution of exercise 1."""
    await websocket.accept()
    _here[websocket] = user
    try:
        if len(mine := of(user)) > 3:
            del _here[mine[0]]
            await mine[0].close(4004, "a fourth device")
        await listen(websocket)
    finally:
        _here.pop(websocket, None)


async def closed_by_its_owner(websocket: WebSocket, user: str) -> None:
    """Another right answer: the replaced connection's own handler closes it."""
    await websocket.accept()
    task = asyncio.current_task()
    assert task is not None
    mine = _tasks[user]
    mine.append(task)
    if len(mine) > 3:
        mine.pop(0).cancel()
    try:
        await listen(websocket)
    except asyncio.CancelledError:
        await websocket.close(4004)
    finally:
        if task in mine:
            mine.remove(task)


_tasks: dict[str, list[asyncio.Task[Any]]] = defaultdict(list)


@pytest.mark.parametrize("answer", [three_devices, closed_by_its_owner])
def test_three_devices_pass(answer: Answer) -> None:
    """The solution passes, and so does another way to do it."""
    _tasks.clear()
    passed = "passed: a user's fourth connection closes that user's oldest with 4004, and nobody else's"
    assert verdict(check_devices, answer) == passed


async def stub(websocket: WebSocket, user: str) -> None:
    """The answer cell as it is."""
    await websocket.accept()
    raise NotImplementedError


async def all_stay(websocket: WebSocket, user: str) -> None:
    """Counts nobody."""
    await websocket.accept()
    await listen(websocket)


async def newest_first(websocket: WebSocket, user: str) -> None:
    """Closes the wrong end."""
    await websocket.accept()
    _here[websocket] = user
    if len(mine := of(user)) > 3:
        await mine[-1].close(4004)
    await listen(websocket)


async def second_first(websocket: WebSocket, user: str) -> None:
    """Closes neither the oldest nor the newest."""
    await websocket.accept()
    _here[websocket] = user
    if len(mine := of(user)) > 3:
        await mine[1].close(4004)
    await listen(websocket)


async def refuses_the_fourth(websocket: WebSocket, user: str) -> None:
    """Lets nobody take a place."""
    await websocket.accept()
    if len(of(user)) == 3:
        await websocket.close(4004)
        return
    _here[websocket] = user
    await listen(websocket)


async def everybody_together(websocket: WebSocket, user: str) -> None:
    """Counts all users as one."""
    await websocket.accept()
    _here[websocket] = user
    if len(_here) > 3:
        oldest = next(iter(_here))
        del _here[oldest]
        await oldest.close(4004)
    await listen(websocket)


async def two_devices(websocket: WebSocket, user: str) -> None:
    """Off by one."""
    await websocket.accept()
    _here[websocket] = user
    if len(mine := of(user)) >= 3:
        del _here[mine[0]]
        await mine[0].close(4004)
    await listen(websocket)


async def another_code(websocket: WebSocket, user: str) -> None:
    """Closes without saying why."""
    await websocket.accept()
    _here[websocket] = user
    if len(mine := of(user)) > 3:
        del _here[mine[0]]
        await mine[0].close()
    await listen(websocket)


async def one_device(websocket: WebSocket, user: str) -> None:
    """Closes all the older ones at the fourth."""
    await websocket.accept()
    _here[websocket] = user
    if len(mine := of(user)) > 3:
        for one in mine[:-1]:
            del _here[one]
            await one.close(4004)
    await listen(websocket)


async def keeps_ghosts(websocket: WebSocket, user: str) -> None:
    """Who leaves stays in the list, and is closed once more."""
    await websocket.accept()
    _here[websocket] = user
    if len(mine := of(user)) > 3:
        del _here[mine[0]]
        await mine[0].close(4004)
    await listen(websocket)


async def keeps_ghosts_and_forgives(websocket: WebSocket, user: str) -> None:
    """Who leaves still counts, so that a place is lost."""
    await websocket.accept()
    mine = _sockets[user]
    mine.append(websocket)
    if len(mine) > 3:
        oldest = mine.pop(0)
        if oldest.client_state.name == "CONNECTED":
            await oldest.close(4004)
        else:
            await mine.pop(0).close(4004)
    await listen(websocket)


_sockets: dict[str, list[WebSocket]] = defaultdict(list)


async def removes_twice(websocket: WebSocket, user: str) -> None:
    """The replaced handler wants to strike itself off, too."""
    await websocket.accept()
    _here[websocket] = user
    try:
        if len(mine := of(user)) > 3:
            del _here[mine[0]]
            await mine[0].close(4004)
        await listen(websocket)
    finally:
        del _here[websocket]


async def does_not_stay(websocket: WebSocket, user: str) -> None:
    """Returns at once."""
    await websocket.accept()
    _here[websocket] = user


async def never_ends(websocket: WebSocket, user: str) -> None:
    """Does not notice that its client has left."""
    await websocket.accept()
    _here[websocket] = user
    try:
        if len(mine := of(user)) > 3:
            del _here[mine[0]]
            await mine[0].close(4004)
        await listen(websocket)
    finally:
        _here.pop(websocket, None)
    await asyncio.Event().wait()


def plain_function(websocket: WebSocket, user: str) -> None:
    """Forgets `async`."""
    _here[websocket] = user


WRONG_DEVICES = [
    (stub, "stub is still the stub"),
    (all_stay, "ana has four connections, and all are open; close the oldest with 4004"),
    (newest_first, "ana's fourth connection itself was closed: code 4004; close her oldest"),
    (second_first, "another than her oldest was closed; keep them in their order"),
    (refuses_the_fourth, "ana's fourth connection itself was closed: code 4004; close her oldest"),
    (everybody_together, "ben's connection was closed: code 4004; count each user's connections alone"),
    (two_devices, "ana's connection number 1 was closed: code 4004; 3 are allowed"),
    (another_code, "ana's oldest connection was closed with 1000, expected 4004"),
    (one_device, "ana's connection number 2 was closed: code 4004; one more closes only the oldest"),
    (keeps_ghosts, "who leaves makes room again, in a `finally`"),
    (keeps_ghosts_and_forgives, "ana's connection number 3 was closed: code 4004; who leaves makes room again"),
    (removes_twice, "removes_twice raised KeyError"),
    (does_not_stay, "was closed: code 1006; 3 are allowed, so keep each of them until its client leaves"),
    (never_ends, "the client left, but never_ends still runs"),
    (plain_function, "plain_function is a plain function"),
    (None, "a function is wanted"),
]


@pytest.mark.parametrize(("answer", "help_"), WRONG_DEVICES)
def test_wrong_devices_get_a_verdict_that_helps(answer: Answer, help_: str) -> None:
    """Each typical mistake is told by whose connection was closed, and how."""
    _sockets.clear()
    said = verdict(check_devices, answer)
    assert said.startswith("not yet: ")
    assert help_ in said


# exercise 2


def typing_indicator(tell: Answer, pause: float = 2.0) -> Answer:
    """The solution of exercise 2."""
    timers: dict[str, asyncio.TimerHandle] = {}

    def stopped(user: str) -> None:
        del timers[user]
        tell(f"{user} stopped")

    def pressed(user: str) -> None:
        if user in timers:
            timers[user].cancel()
        else:
            tell(f"{user} is typing")
        timers[user] = asyncio.get_running_loop().call_later(pause, stopped, user)

    return pressed


def with_tasks(tell: Answer, pause: float = 2.0) -> Answer:
    """The same with a task for each user."""
    tasks: dict[str, asyncio.Task[None]] = {}

    async def stop(user: str) -> None:
        await asyncio.sleep(pause)
        del tasks[user]
        tell(f"{user} stopped")

    def pressed(user: str) -> None:
        if user in tasks:
            tasks[user].cancel()
        else:
            tell(f"{user} is typing")
        tasks[user] = asyncio.create_task(stop(user))

    return pressed


def with_a_deadline(tell: Answer, pause: float = 2.0) -> Answer:
    """The same with one timer for each key, which looks whether it was the last."""
    last: dict[str, float] = {}

    def pressed(user: str) -> None:
        loop = asyncio.get_running_loop()
        if user not in last:
            tell(f"{user} is typing")
        last[user] = loop.time()
        loop.call_later(pause, stop, user, last[user])

    def stop(user: str, when: float) -> None:
        if last.get(user) == when:
            del last[user]
            tell(f"{user} stopped")

    return pressed


@pytest.mark.parametrize("answer", [typing_indicator, with_tasks, with_a_deadline])
def test_a_typing_indicator_that_stops_passes(answer: Answer) -> None:
    """The solution passes, and so do other ways to do it."""
    passed = "passed: each is told once, and it stops by itself after the last key of each user"
    assert verdict(check_typing, answer) == passed


def typing_stub(tell: Answer, pause: float = 2.0) -> Answer:
    """The answer cell as it is."""

    def pressed(user: str) -> None:
        raise NotImplementedError

    return pressed


def never_stops(tell: Answer, pause: float = 2.0) -> Answer:
    """Only the beginning."""
    typing: set[str] = set()

    def pressed(user: str) -> None:
        if user not in typing:
            typing.add(user)
            tell(f"{user} is typing")

    return pressed


def tells_each_key(tell: Answer, pause: float = 2.0) -> Answer:
    """Only the room's patience ends."""
    return lambda user: tell(f"{user} is typing")


def says_nothing(tell: Answer, pause: float = 2.0) -> Answer:
    """Forgets to tell."""
    return lambda user: None


def old_timers_run_on(tell: Answer, pause: float = 2.0) -> Answer:
    """Forgets to cancel."""
    typing: set[str] = set()

    def stopped(user: str) -> None:
        if user in typing:
            typing.remove(user)
            tell(f"{user} stopped")

    def pressed(user: str) -> None:
        if user not in typing:
            typing.add(user)
            tell(f"{user} is typing")
        asyncio.get_running_loop().call_later(pause, stopped, user)

    return pressed


def stops_twice(tell: Answer, pause: float = 2.0) -> Answer:
    """Forgets to cancel, and to look."""
    typing: set[str] = set()

    def stopped(user: str) -> None:
        typing.remove(user)
        tell(f"{user} stopped")

    def pressed(user: str) -> None:
        if user not in typing:
            tell(f"{user} is typing")
        typing.add(user)
        asyncio.get_running_loop().call_later(pause, stopped, user)

    return pressed


def one_timer_for_all(tell: Answer, pause: float = 2.0) -> Answer:
    """Ben's keys keep Ana typing."""
    typing: set[str] = set()
    timer: list[asyncio.TimerHandle] = []

    def stopped(user: str) -> None:
        typing.discard(user)
        tell(f"{user} stopped")

    def pressed(user: str) -> None:
        if timer:
            timer.pop().cancel()
        if user not in typing:
            typing.add(user)
            tell(f"{user} is typing")
        timer.append(asyncio.get_running_loop().call_later(pause, stopped, user))

    return pressed


def remembers_old_timers(tell: Answer, pause: float = 2.0) -> Answer:
    """A timer that is over still counts."""
    timers: dict[str, asyncio.TimerHandle] = {}

    def pressed(user: str) -> None:
        if user in timers:
            timers[user].cancel()
        else:
            tell(f"{user} is typing")
        timers[user] = asyncio.get_running_loop().call_later(pause, tell, f"{user} stopped")

    return pressed


def milliseconds(tell: Answer, pause: float = 2.0) -> Answer:
    """As in JavaScript."""
    return typing_indicator(tell, pause * 1_000)


def another_text(tell: Answer, pause: float = 2.0) -> Answer:
    """Says it in its own words."""
    return typing_indicator(lambda text: tell(text.replace("is typing", "types")), pause)


def written_async(tell: Answer, pause: float = 2.0) -> Answer:
    """A coroutine is called, and never awaited."""

    async def pressed(user: str) -> None:
        tell(f"{user} is typing")

    return pressed


def forgets_to_return(tell: Answer, pause: float = 2.0) -> None:
    """Defines the function, and keeps it."""
    typing_indicator(tell, pause)


def fails_in_the_timer(tell: Answer, pause: float = 2.0) -> Answer:
    """The error happens when nobody is looking."""

    def stopped(user: str) -> None:
        raise KeyError(user)

    def pressed(user: str) -> None:
        asyncio.get_running_loop().call_later(pause, stopped, user)

    return pressed


def sleeps(tell: Answer, pause: float = 2.0) -> Answer:
    """Stops the whole server instead of one timer."""

    def pressed(user: str) -> None:
        tell(f"{user} is typing")
        time.sleep(pause)
        tell(f"{user} stopped")

    return pressed


WRONG_TYPING = [
    (typing_stub, "typing_stub is still the stub"),
    (never_stops, "ana's last key was at 1 s, and at 3 s the room was not told 'ana stopped'; start a timer"),
    (
        tells_each_key,
        "ana pressed a key at 1 s, and the room was told 'ana is typing' again; only the first key is news",
    ),
    (says_nothing, "ana pressed a key at 0 s, and the room was told nothing, expected 'ana is typing'"),
    (old_timers_run_on, "'ana stopped' was told at 2 s; call off the earlier timer"),
    (stops_twice, "raised KeyError: 'ana' in the line `typing.remove(user)`"),
    (one_timer_for_all, "at 3 s the room was not told 'ana stopped'; start a timer for each user"),
    (remembers_old_timers, "pressed a key again, and the room was told nothing; forget her timer when it is over"),
    (milliseconds, "`call_later(pause, …)`, in seconds"),
    (another_text, "ana pressed a key at 0 s, and the room was told 'ana types', expected 'ana is typing'"),
    (written_async, "is a coroutine; write it with `def`"),
    (forgets_to_return, "typing_indicator returned None, expected the function to call at each key"),
    (fails_in_the_timer, "raised KeyError: 'ana' in the line `raise KeyError(user)`"),
    (sleeps, "sleeps() did not return within 1 s"),
    (typing_indicator(print), "raised TypeError"),
    (None, "a function is wanted"),
]


@pytest.mark.parametrize(("answer", "help_"), WRONG_TYPING)
def test_a_wrong_typing_indicator_gets_a_verdict_that_helps(answer: Answer, help_: str) -> None:
    """Each typical mistake is told by the first moment at which the room hears something else."""
    said = verdict(check_typing, answer)
    assert said.startswith("not yet: ")
    assert help_ in said


# exercise 3


def names(manager: Any) -> str:
    """The right answer to /who."""
    return f"here: {', '.join(sorted(manager.users))}"


def on_text(manager: Any, user: str, outbox: asyncio.Queue[str], text: str) -> None:
    """The solution of exercise 3."""
    if text == "/who":
        outbox.put_nowait(names(manager))
    else:
        manager.to_all(f"{user}: {text}")


async def on_text_async(manager: Any, user: str, outbox: asyncio.Queue[str], text: str) -> None:
    """The same as a coroutine."""
    if text == "/who":
        await outbox.put(names(manager))
    else:
        manager.to_all(f"{user}: {text}")


@pytest.mark.parametrize("answer", [on_text, on_text_async])
def test_a_who_that_answers_the_asker_passes(answer: Answer) -> None:
    """The solution passes, also when it is written as a coroutine."""
    passed = "passed: who asks is told who is here, each user once, and nobody else hears of it"
    assert verdict(check_who, answer) == passed


def who_stub(manager: Any, user: str, outbox: asyncio.Queue[str], text: str) -> None:
    """The answer cell as it is."""
    manager.to_all(f"{user}: {text}")


def answering(answer: Answer, *, silent: bool = True) -> Answer:
    """An answer to /who that is made by `answer`; `silent` is whether the command itself stays unsaid."""

    def on_text(manager: Any, user: str, outbox: asyncio.Queue[str], text: str) -> None:
        if text == "/who":
            answer(manager, user, outbox)
        if text != "/who" or not silent:
            manager.to_all(f"{user}: {text}")

    return on_text


def per_device(manager: Any) -> list[str]:
    """One name for each connection."""
    return sorted(user for user, outboxes in manager.users.items() for _ in outboxes)


_first: list[str] = []


def remembered(manager: Any) -> str:
    """Who was here at the first question."""
    if not _first:
        _first.append(names(manager))
    return _first[0]


WRONG_WHO = [
    (who_stub, "got 'ana: /who', expected 'here: ana, ben'; a command is not said to the room"),
    (answering(lambda manager, user, outbox: manager.to_all(names(manager))), "ana's phone heard 'here: ana, ben' as"),
    (answering(lambda manager, user, outbox: manager.to_user(user, names(manager))), "ana's phone heard 'here: ana, b"),
    (
        answering(lambda manager, user, outbox: outbox.put_nowait(names(manager)), silent=False),
        "ana heard 'ana: /who' as well",
    ),
    (
        answering(lambda manager, user, outbox: outbox.put_nowait(f"here: {', '.join(per_device(manager))}")),
        "got 'here: ana, ana, ben', expected 'here: ana, ben'; each user once",
    ),
    (
        answering(lambda manager, user, outbox: outbox.put_nowait(f"here: {', '.join(manager.users)}")),
        "got 'here: ben, ana', expected 'here: ana, ben'; in alphabetical order",
    ),
    (
        answering(lambda manager, user, outbox: outbox.put_nowait(f"here: {sorted(manager.users)}")),
        "the names joined by ', '",
    ),
    (
        answering(lambda manager, user, outbox: outbox.put_nowait(f"here: {manager.users.keys()}")),
        "the names joined by ', '",
    ),
    (answering(lambda manager, user, outbox: names(manager)), "got nothing, expected 'here: ana, ben'; put the answer"),
    (
        answering(lambda manager, user, outbox: outbox.put_nowait(remembered(manager))),
        "ben has left, and /who says 'here: ana, ben', expected 'here: ana'",
    ),
    (answering(lambda manager, user, outbox: outbox.put_nowait(manager.names)), "on_text raised AttributeError"),
    (remembered, "raised TypeError"),
    (None, "a function is wanted"),
]


@pytest.mark.parametrize(("answer", "help_"), WRONG_WHO)
def test_a_wrong_who_gets_a_verdict_that_helps(answer: Answer, help_: str) -> None:
    """Each typical mistake is told by what was heard, and by whom."""
    _first.clear()
    said = verdict(check_who, answer)
    assert said.startswith("not yet: ")
    assert help_ in said
