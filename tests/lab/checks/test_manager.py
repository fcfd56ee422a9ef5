"""The verdicts of lesson 03: the stub, the solution, and the answers that people really give."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from fastapi import WebSocket, WebSocketDisconnect
from lab.checks.manager import check_devices, check_who

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


async def replace(oldest: WebSocket) -> None:
    """What the answer cell has ready."""
    with suppress(WebSocketDisconnect):
        await oldest.close(4004, "a newer device")


async def three_devices(websocket: WebSocket, user: str) -> None:
    """The solution of exercise 1."""
    await websocket.accept()
    mine = _lists[user]
    mine.append(websocket)
    try:
        if len(mine) > 3:
            await replace(mine.pop(0))
        await listen(websocket)
    finally:
        if websocket in mine:
            mine.remove(websocket)


async def with_one_dict(websocket: WebSocket, user: str) -> None:
    """Another right answer: one dict from each connection to its user."""
    await websocket.accept()
    _here[websocket] = user
    try:
        if len(mine := of(user)) > 3:
            del _here[mine[0]]
            await replace(mine[0])
        await listen(websocket)
    finally:
        _here.pop(websocket, None)


async def closed_by_its_owner(websocket: WebSocket, user: str) -> None:
    """A third right answer: the replaced connection's own handler closes it."""
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


async def that_makes_a_place_first(websocket: WebSocket, user: str) -> None:
    """A fourth right answer: the oldest is taken out first, and told last."""
    await websocket.accept()
    mine = _lists[user]
    oldest = mine.pop(0) if len(mine) == 3 else None
    mine.append(websocket)
    if oldest is not None:
        await replace(oldest)
    try:
        while True:
            await websocket.receive_text()
    except WebSocketDisconnect:
        pass
    finally:
        with suppress(ValueError):
            mine.remove(websocket)


_lists: dict[str, list[WebSocket]] = defaultdict(list)


@pytest.mark.parametrize("answer", [three_devices, with_one_dict, closed_by_its_owner, that_makes_a_place_first])
def test_three_devices_pass(answer: Answer) -> None:
    """The solution passes, and so do other ways to do it."""
    _tasks.clear()
    _lists.clear()
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


async def taken_out_late(websocket: WebSocket, user: str) -> None:
    """Closes first, and takes out then: meanwhile another newcomer finds the same oldest one."""
    await websocket.accept()
    mine = _lists[user]
    mine.append(websocket)
    try:
        if len(mine) > 3:
            await replace(mine[0])
            mine.pop(0)
        await listen(websocket)
    finally:
        if websocket in mine:
            mine.remove(websocket)


async def entered_late(websocket: WebSocket, user: str) -> None:
    """Closes first, and enters then: meanwhile another newcomer finds a free place."""
    await websocket.accept()
    mine = _lists[user]
    if len(mine) == 3:
        await replace(mine.pop(0))
    mine.append(websocket)
    try:
        await listen(websocket)
    finally:
        if websocket in mine:
            mine.remove(websocket)


async def removes_without_looking(websocket: WebSocket, user: str) -> None:
    """The same as `removes_twice`, with a list."""
    await websocket.accept()
    mine = _lists[user]
    mine.append(websocket)
    try:
        if len(mine) > 3:
            await replace(mine.pop(0))
        await listen(websocket)
    finally:
        mine.remove(websocket)


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
    (second_first, "one that is not her oldest was closed; keep them in order"),
    (refuses_the_fourth, "ana's fourth connection itself was closed: code 4004; close her oldest"),
    (everybody_together, "ben's connection was closed: code 4004; count each user's connections separately"),
    (two_devices, "ana's connection number 1 was closed: code 4004; 3 are allowed"),
    (another_code, "ana's oldest connection was closed with 1000, expected 4004"),
    (one_device, "ana's connection number 2 was closed: code 4004; a fourth connection closes only the oldest"),
    (keeps_ghosts, "when a connection ends, remove it in a `finally`, so that its place is free again"),
    (
        keeps_ghosts_and_forgives,
        "ana's connection number 5 was closed: code 4004; when a connection ends, remove it in a `finally`",
    ),
    (removes_twice, "removes_twice raised KeyError"),
    (taken_out_late, "and only then await its close"),
    (entered_late, "her connection number 3 was not closed: four are open; first put the new one into the list"),
    (removes_without_looking, "removes_without_looking raised ValueError"),
    (does_not_stay, "was closed: code 1006; 3 are allowed, so keep each of them until its client leaves"),
    (never_ends, "the client left, but never_ends still runs"),
    (plain_function, "plain_function is a plain function"),
    (None, "expected a function"),
]


@pytest.mark.parametrize(("answer", "help_"), WRONG_DEVICES)
def test_wrong_devices_get_a_verdict_that_helps(answer: Answer, help_: str) -> None:
    """The verdict on each typical mistake says whose connection was closed, and how."""
    _sockets.clear()
    _lists.clear()
    said = verdict(check_devices, answer)
    assert said.startswith("not yet: ")
    assert help_ in said


# exercise 3; that of exercise 2 is in test_manager_typing


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


def on_text_by_case(manager: Any, user: str, outbox: asyncio.Queue[str], text: str) -> None:
    """A third right answer: one case for each command."""
    match text:
        case "/who":
            everybody = list(manager.users.keys())
            everybody.sort()
            outbox.put_nowait("here: " + ", ".join(everybody))
        case said:
            manager.to_all(": ".join([user, said]))


@pytest.mark.parametrize("answer", [on_text, on_text_async, on_text_by_case])
def test_a_who_that_answers_the_asker_passes(answer: Answer) -> None:
    """The solution passes, also when it is written as a coroutine."""
    passed = "passed: the user who asks gets each name once, and nobody else gets question or answer"
    assert verdict(check_who, answer) == passed


def who_stub(manager: Any, user: str, outbox: asyncio.Queue[str], text: str) -> None:
    """The answer cell as it is."""
    manager.to_all(f"{user}: {text}")


def answering(answer: Answer, *, silent: bool = True) -> Answer:
    """An answer to /who that `answer` makes; `silent` is whether the command itself is not sent to the room."""

    def on_text(manager: Any, user: str, outbox: asyncio.Queue[str], text: str) -> None:
        if text == "/who":
            answer(manager, user, outbox)
        if text != "/who" or not silent:
            manager.to_all(f"{user}: {text}")

    return on_text


def any_beginning(manager: Any, user: str, outbox: asyncio.Queue[str], text: str) -> None:
    """Takes every text that begins with the command for the command."""
    if text.startswith("/who"):
        outbox.put_nowait(names(manager))
    else:
        manager.to_all(f"{user}: {text}")


def per_device(manager: Any) -> list[str]:
    """One name for each connection."""
    return sorted(user for user, outboxes in manager.users.items() for _ in outboxes)


def to_each_device(manager: Any, user: str, outbox: asyncio.Queue[str]) -> None:
    """Answer the user's phone, too."""
    for one in manager.users[user]:
        one.put_nowait(names(manager))


_first: list[str] = []


def remembered(manager: Any) -> str:
    """Who was here at the first question."""
    if not _first:
        _first.append(names(manager))
    return _first[0]


WRONG_WHO = [
    (who_stub, "got 'ana: /who', expected 'here: ana, ben'; don't send a command to the room"),
    (answering(lambda manager, user, outbox: manager.to_all(names(manager))), "ana's phone heard 'here: ana, ben' as"),
    (answering(to_each_device), "ana's phone heard 'here: ana, b"),
    (
        answering(lambda manager, user, outbox: outbox.put_nowait(names(manager)), silent=False),
        "ana heard 'ana: /who' as well",
    ),
    (
        answering(lambda manager, user, outbox: outbox.put_nowait(f"here: {', '.join(per_device(manager))}")),
        "got 'here: ana, ana, ben', expected 'here: ana, ben'; name each user once",
    ),
    (
        answering(lambda manager, user, outbox: outbox.put_nowait(f"here: {', '.join(manager.users)}")),
        "got 'here: ben, ana', expected 'here: ana, ben'; sort the names",
    ),
    (
        answering(lambda manager, user, outbox: outbox.put_nowait(f"here: {sorted(manager.users)}")),
        "join the names with ', '",
    ),
    (
        answering(lambda manager, user, outbox: outbox.put_nowait(f"here: {manager.users.keys()}")),
        "join the names with ', '",
    ),
    (answering(lambda manager, user, outbox: names(manager)), "got nothing, expected 'here: ana, ben'; put the answer"),
    (
        answering(lambda manager, user, outbox: outbox.put_nowait(remembered(manager))),
        "ben has left, and /who says 'here: ana, ben', expected 'here: ana'",
    ),
    (any_beginning, "got nothing, expected 'ben: /whoever'; only the whole text '/who' is the command"),
    (
        answering(lambda manager, user, outbox: outbox.put_nowait(manager.names)),
        "on_text raised AttributeError: 'Manager' object has no attribute 'names'",
    ),
    (remembered, "raised TypeError"),
    (None, "expected a function"),
]


@pytest.mark.parametrize(("answer", "help_"), WRONG_WHO)
def test_a_wrong_who_gets_a_verdict_that_helps(answer: Answer, help_: str) -> None:
    """The verdict on each typical mistake says who received what."""
    _first.clear()
    said = verdict(check_who, answer)
    assert said.startswith("not yet: ")
    assert help_ in said
