"""The clock that jumps."""

from __future__ import annotations

import asyncio

import pytest
from lab.checks.harness.clock import without_waiting


def test_an_hour_passes_at_once_and_in_order() -> None:
    """Timers and sleeps of any length happen in the order in which they are due, at their time."""
    told: list[tuple[float, str]] = []

    def tell(text: str) -> None:
        told.append((asyncio.get_running_loop().time(), text))

    async def main() -> str:
        loop = asyncio.get_running_loop()
        loop.call_later(3_600, tell, "an hour")
        loop.call_later(1, tell, "a second")
        await asyncio.sleep(60)
        tell("a minute")
        await asyncio.sleep(3_600)
        return "over"

    assert without_waiting(main()) == "over"
    assert told == [(1, "a second"), (60, "a minute"), (3_600, "an hour")]


def test_a_timeout_comes_in_time() -> None:
    """`asyncio.timeout` follows the same clock."""

    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    assert without_waiting(main()) == 10


def test_what_is_left_is_cancelled() -> None:
    """A task that was not ended doesn't outlive the loop."""
    cancelled: list[bool] = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def main() -> None:
        main.task = asyncio.create_task(wait())  # type: ignore[attr-defined]
        await asyncio.sleep(1)

    without_waiting(main())
    assert cancelled == [True]


async def fail() -> None:
    """A coroutine that raises."""
    raise ValueError("oops")


async def fail_in_a_timer() -> None:
    """A timer that raises, while the main coroutine goes on."""
    asyncio.get_running_loop().call_later(1, [].pop)
    await asyncio.sleep(2)


async def fail_in_a_task() -> None:
    """A task that raises and is never awaited."""
    fail_in_a_task.task = asyncio.create_task(fail())  # type: ignore[attr-defined]
    await asyncio.sleep(2)
    del fail_in_a_task.task  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("main", "error"), [(fail, ValueError), (fail_in_a_timer, IndexError), (fail_in_a_task, ValueError)]
)
def test_a_failure_is_raised_wherever_it_happened(main: object, error: type[Exception]) -> None:
    """Nothing is swallowed in a timer or a task."""
    with pytest.raises(error):
        without_waiting(main())  # type: ignore[operator]
