"""Verdicts on the goodbyes of deeper/operations: the stub, the solutions, and the answers that people really give."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from lab.checks.notifications import check_drain

from tests.lab.checks.verdicts import verdict

Answer = Callable[..., Any]


async def is_late(connection: Any, seconds: float) -> bool:
    """The solution's first function."""
    try:
        async with asyncio.timeout(seconds):
            await connection.close(1012, "service restart")
    except TimeoutError:
        return True
    except ConnectionError:
        return False
    return False


async def drain(connections: list[Any], seconds: float) -> int:
    """The solution."""
    late = await asyncio.gather(*[is_late(connection, seconds) for connection in connections])
    return late.count(True)


async def with_one_deadline(connections: list[Any], seconds: float) -> int:
    """The same with one wait for all."""
    closings = [asyncio.create_task(_close(connection)) for connection in connections]
    if not closings:
        return 0
    _, late = await asyncio.wait(closings, timeout=seconds)
    for task in late:
        task.cancel()
    return len(late)


async def _close(connection: Any, code: int = 1012) -> None:
    with suppress(ConnectionError):
        await connection.close(code, reason="service restart")


async def with_a_group(connections: list[Any], seconds: float) -> int:
    """The same with a group of tasks, and a count of what has ended."""
    ended: list[Any] = []

    async def close(connection: Any) -> None:
        await _close(connection)
        ended.append(connection)

    try:
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for connection in connections:
                group.create_task(close(connection))
    except TimeoutError:
        pass
    return len(connections) - len(ended)


@pytest.mark.parametrize("answer", [drain, with_one_deadline, with_a_group])
def test_a_server_that_says_goodbye_passes(answer: Answer) -> None:
    """The solution passes, and so do other ways to do it."""
    passed = "passed: everybody is told at the same time, and a client that doesn't answer holds up nobody"
    assert verdict(check_drain, answer) == passed


async def stub(connections: list[Any], seconds: float) -> int:
    """The answer cell as it is."""
    raise NotImplementedError


async def one_after_the_other(connections: list[Any], seconds: float) -> int:
    """A hundred deadlines in a row."""
    late = 0
    for connection in connections:
        late += await is_late(connection, seconds)
    return late


async def no_deadline(connections: list[Any], seconds: float) -> int:
    """Waits for a phone in a tunnel."""
    await asyncio.gather(*[_close(connection) for connection in connections])
    return 0


async def nobody_there(connections: list[Any], seconds: float) -> int:
    """`asyncio.wait` refuses an empty list."""
    closings = [asyncio.create_task(_close(connection)) for connection in connections]
    _, late = await asyncio.wait(closings, timeout=seconds)
    for task in late:
        task.cancel()
    return len(late)


async def does_not_cancel(connections: list[Any], seconds: float) -> int:
    """Leaves tasks behind."""
    closings = [asyncio.create_task(_close(connection)) for connection in connections]
    if not closings:
        return 0
    _, late = await asyncio.wait(closings, timeout=seconds)
    return len(late)


async def fails_with_one(connections: list[Any], seconds: float) -> int:
    """One who has left ends it for all."""
    closings = [asyncio.wait_for(one.close(1012), seconds) for one in connections]
    results = await asyncio.gather(*closings, return_exceptions=False)
    return len(results)


async def counts_who_has_left(connections: list[Any], seconds: float) -> int:
    """Each error counts as late."""
    closings = [asyncio.wait_for(one.close(1012), seconds) for one in connections]
    results = await asyncio.gather(*closings, return_exceptions=True)
    return sum(isinstance(result, Exception) for result in results)


async def counts_who_answers(connections: list[Any], seconds: float) -> int:
    """The others."""
    return len(connections) - await drain(connections, seconds)


async def closes_normally(connections: list[Any], seconds: float) -> int:
    """1000 says: don't come back."""
    async with asyncio.timeout(seconds):
        await asyncio.gather(*[_close(one, 1000) for one in connections])
    return 0


async def returns_nothing(connections: list[Any], seconds: float) -> None:
    """Forgets to count."""
    await drain(connections, seconds)


async def closes_twice(connections: list[Any], seconds: float) -> int:
    """To be sure."""
    await drain(connections, seconds)
    return await drain(connections, seconds)


async def waits_in_any_case(connections: list[Any], seconds: float) -> int:
    """Sleeps although all have answered."""
    late = await drain(connections, seconds)
    await asyncio.sleep(seconds)
    return late


def written_def(connections: list[Any], seconds: float) -> int:
    """No coroutine."""
    return 0


WRONG = [
    (stub, "stub is still the stub"),
    (one_after_the_other, "it took 0.6 s, expected 0.3 s; close all of them at the same time"),
    (no_deadline, "one of three clients never answers: drain never ended; wait for 5 s at most"),
    (nobody_there, "nobody is connected: drain raised ValueError"),
    (does_not_cancel, "drain has ended, and still waits for them in a task; cancel what is late"),
    (fails_with_one, "got 3, expected 0; return how many did not finish in time"),
    (counts_who_has_left, "one of three clients has just left: got 1, expected 0"),
    (counts_who_answers, "got 3, expected 0; return how many did not finish in time"),
    (closes_normally, "a connection was closed with [1000], expected [1012]"),
    (returns_nothing, "got None, expected 0; return how many did not finish in time"),
    (closes_twice, "a connection was closed with [1012, 1012], expected [1012]; close each of them once"),
    (waits_in_any_case, "it took 5.3 s, expected 0.3 s"),
    (written_def, "drain returned 0 without waiting; write it with `async def`"),
    (None, "expected a function"),
]


@pytest.mark.parametrize(("answer", "help_"), WRONG)
def test_a_wrong_goodbye_gets_a_verdict_that_helps(answer: Answer, help_: str) -> None:
    """The verdict on each typical mistake tells the story in which something goes wrong."""
    said = verdict(check_drain, answer)
    assert said.startswith("not yet: ")
    assert help_ in said
