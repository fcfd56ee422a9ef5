"""The time of a check: a wait that succeeds makes it full again, up to a limit for all waits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from lab.checks.harness import time_budget as module
from lab.checks.harness.time_budget import BUDGET, LONGEST, STEP, remaining, retry_on_timeout, time_budget


@contextmanager
def stopped() -> Iterator[module._TimeBudget]:
    """A budget that only the test counts down."""
    with time_budget():
        budget = module._budget.get()
        budget.finished.set()
        budget.counting.join()
        yield budget


def test_a_wait_that_succeeds_fills_the_budget() -> None:
    """So a check with many steps has the same time for each of them."""
    with stopped() as budget:
        budget.steps = 1
        assert retry_on_timeout(lambda seconds: f"{seconds} s") == f"{STEP} s"
        assert remaining() == BUDGET


def test_an_attempt_without_time_left_is_the_last() -> None:
    """Nothing waits for what doesn't come."""

    def fails(seconds: float) -> None:
        raise TimeoutError

    with stopped() as budget:
        budget.steps = 0
        with pytest.raises(TimeoutError):
            retry_on_timeout(fails)
        assert remaining() == 0


def test_all_waits_together_have_a_limit() -> None:
    """A handler that sends for ever, and not quickly, doesn't keep the reader waiting for ever."""
    with stopped() as budget:
        for _ in range(round(LONGEST / STEP)):
            assert remaining()
            budget.count()
            budget.renew()
        assert remaining() == 0
