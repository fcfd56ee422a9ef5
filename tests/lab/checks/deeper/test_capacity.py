"""Verdicts on the reckoning of deeper/cost: the stub, the solutions, and the answers that people really give."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from lab.checks.manager import check_capacity

from tests.lab.checks.verdicts import verdict

Answer = Callable[..., Any]


def capacity(free: float, each: float, limit: int) -> tuple[float, str]:
    """The solution."""
    by_memory = free * 1024 // each
    by_descriptors = limit - 20
    if by_memory < by_descriptors:
        return by_memory, "memory"
    return by_descriptors, "descriptors"


def with_min(free: float, each: float, limit: int) -> tuple[int, str]:
    """The same with the smaller of two pairs."""
    return min((int(free * 1024 / each), "memory"), (limit - 20, "descriptors"))


def with_bytes(free: float, each: float, limit: int) -> tuple[int, str]:
    """The same in bytes."""
    many = {"memory": math.floor(free * 2**20 / (each * 2**10)), "descriptors": limit - 20}
    first = min(many, key=lambda what: many[what])
    return many[first], first


@pytest.mark.parametrize("answer", [capacity, with_min, with_bytes])
def test_a_right_reckoning_passes(answer: Answer) -> None:
    """The solution passes, and so do other ways to do it."""
    assert (
        verdict(check_capacity, answer) == "passed: whichever of the two runs out first says how many connections fit"
    )


def stub(free: float, each: float, limit: int) -> None:
    """The answer cell as it is."""
    raise NotImplementedError


def forgets_its_own(free: float, each: float, limit: int) -> tuple[float, str]:
    """The server needs some, too."""
    return capacity(free, each, limit + 20)


def thousands(free: float, each: float, limit: int) -> tuple[float, str]:
    """A MiB is a bit more."""
    return capacity(free * 1_000 / 1_024, each, limit)


def mixes_units(free: float, each: float, limit: int) -> tuple[float, str]:
    """MiB by KiB."""
    return capacity(free / 1_024, each, limit)


def parts(free: float, each: float, limit: int) -> tuple[float, str]:
    """A third of a connection."""
    return min((free * 1024 / each, "memory"), (float(limit - 20), "descriptors"))


def rounds_up(free: float, each: float, limit: int) -> tuple[float, str]:
    """The last one does not fit."""
    return min((math.ceil(free * 1024 / each), "memory"), (limit - 20, "descriptors"))


def the_larger(free: float, each: float, limit: int) -> tuple[float, str]:
    """The other one."""
    return max((free * 1024 // each, "memory"), (float(limit - 20), "descriptors"))


def the_wrong_word(free: float, each: float, limit: int) -> tuple[float, str]:
    """What is left over."""
    many, what = capacity(free, each, limit)
    return many, {"memory": "descriptors", "descriptors": "memory"}[what]


def only_the_number(free: float, each: float, limit: int) -> float:
    """Half of the answer."""
    return capacity(free, each, limit)[0]


def always_the_memory(free: float, each: float, limit: int) -> tuple[float, str]:
    """Does not look at the limit."""
    return free * 1024 // each, "memory"


def forgets_to_return(free: float, each: float, limit: int) -> None:
    """Prints it."""
    print(*capacity(free, each, limit))


WRONG = [
    (stub, "stub is still the stub"),
    (forgets_its_own, "expected (1004, 'descriptors'); the server needs 20 descriptors for itself"),
    (thousands, "expected (30840, 'memory'); a MiB is 1,024 KiB"),
    (mixes_units, "expected (1004, 'descriptors'); `free` is in MiB, and `each` in KiB"),
    (parts, "expected (30840, 'memory'); a part of a connection is none"),
    (rounds_up, "expected (30840, 'memory'); a part of a connection is none"),
    (the_larger, "expected (1004, 'descriptors'); the smaller of the two numbers"),
    (the_wrong_word, 'the second value is "memory" or "descriptors"'),
    (only_the_number, "return two values: `return many, what`"),
    (always_the_memory, "expected (1004, 'descriptors'); the smaller of the two numbers"),
    (forgets_to_return, "got None, expected (1004, 'descriptors')"),
    (None, "expected a function"),
]


@pytest.mark.parametrize(("answer", "help_"), WRONG)
def test_a_wrong_reckoning_gets_a_verdict_that_helps(answer: Answer, help_: str) -> None:
    """The verdict on each typical mistake says what was forgotten."""
    said = verdict(check_capacity, answer)
    assert said.startswith("not yet: ")
    assert help_ in said
