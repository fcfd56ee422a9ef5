"""The check of deeper/testing-time: tests of a class that decides by time, good ones, and ones that miss a bug."""

from __future__ import annotations

import time
from typing import Any

import pytest
from lab.checks.deeper.quiet import Quiet as RightQuiet
from lab.checks.deeper.quiet import check_quiet_test
from lab.checks.verdict import shown


def said_by(test: Any) -> str:
    """What the check says, on one line."""
    said = str(check_quiet_test(test))
    assert "\n" not in said
    return said


class FakeClock:
    """The clock of the notebook."""

    def __init__(self) -> None:
        self.now = 0.0

    def time(self) -> float:
        """Return what was set."""
        return self.now


def solution(Quiet: Any) -> None:  # noqa: N803 - the name of the exercise
    """The solution."""
    fake = FakeClock()
    quiet = Quiet(fake.time)
    fake.now = 300
    assert not quiet.is_away()
    fake.now = 301
    assert quiet.is_away()
    quiet.heard()
    assert not quiet.is_away()


def in_a_loop(kind: Any) -> None:
    """Right: with another name for the class, and from another second on."""
    now = [1000.0]
    quiet = kind(lambda: now[0])
    for _ in range(2):
        for later, away in [(0, False), (300, False), (0.5, True)]:
            now[0] += later
            assert quiet.is_away() is away
        quiet.heard()


def two_objects(Quiet: Any) -> None:  # noqa: N803
    """Right: one object for the edge, and one that is heard."""
    fake = FakeClock()
    silent, loud = Quiet(fake.time), Quiet(fake.time)
    fake.now = 300
    loud.heard()
    assert [silent.is_away(), loud.is_away()] == [False, False]
    fake.now = 301
    assert [silent.is_away(), loud.is_away()] == [True, False]


@pytest.mark.parametrize("test", [solution, in_a_loop, two_objects])
def test_a_good_test_of_the_class_passes(test: Any) -> None:
    """However it is written."""
    assert said_by(test).startswith("passed: ")


def misses_the_edge(Quiet: Any) -> None:  # noqa: N803
    """Looks after four minutes, and not after five."""
    fake = FakeClock()
    quiet = Quiet(fake.time)
    fake.now = 240
    assert not quiet.is_away()
    fake.now = 301
    assert quiet.is_away()
    quiet.heard()
    assert not quiet.is_away()


def looks_late(Quiet: Any) -> None:  # noqa: N803
    """Looks after six minutes."""
    fake = FakeClock()
    quiet = Quiet(fake.time)
    fake.now = 300
    assert not quiet.is_away()
    fake.now = 360
    assert quiet.is_away()
    quiet.heard()
    assert not quiet.is_away()


def never_away(Quiet: Any) -> None:  # noqa: N803
    """Never expects that somebody is away."""
    fake = FakeClock()
    quiet = Quiet(fake.time)
    fake.now = 300
    assert not quiet.is_away()


def never_heard(Quiet: Any) -> None:  # noqa: N803
    """Never calls `heard`."""
    fake = FakeClock()
    quiet = Quiet(fake.time)
    fake.now = 300
    assert not quiet.is_away()
    fake.now = 301
    assert quiet.is_away()


def forgets_assert(Quiet: Any) -> None:  # noqa: N803
    """Looks, and doesn't compare."""
    fake = FakeClock()
    quiet = Quiet(fake.time)
    fake.now = 301
    quiet.is_away()


def wrong_about_the_edge(Quiet: Any) -> None:  # noqa: N803
    """Expects that 300 is away."""
    fake = FakeClock()
    quiet = Quiet(fake.time)
    fake.now = 300
    assert quiet.is_away()


def passes_the_object(Quiet: Any) -> None:  # noqa: N803
    """Passes the clock, and not its function."""
    quiet = Quiet(FakeClock())
    assert not quiet.is_away()


def looks_inside(Quiet: Any) -> None:  # noqa: N803
    """Depends on an attribute."""
    quiet = Quiet(FakeClock().time)
    assert quiet.last == 0


def ignores_its_argument(Quiet: Any) -> None:  # noqa: N803
    """Tests the notebook's class, whichever it gets."""
    fake = FakeClock()
    quiet = RightQuiet(fake.time)
    fake.now = 301
    assert quiet.is_away()


def uses_the_notebooks_object(Quiet: Any) -> None:  # noqa: N803
    """Tests an object that was made outside."""
    assert RightQuiet(FakeClock().time).is_away()


def waits_really(Quiet: Any) -> None:  # noqa: N803
    """Waits for five minutes."""
    quiet = Quiet(time.monotonic)
    while not quiet.is_away():
        pass


def misspelt(Quiet: Any) -> None:  # noqa: N803
    """Uses a name that isn't there."""
    quiet = Quiet(fakeclock.time)  # type: ignore[name-defined]  # noqa: F821
    assert not quiet.is_away()


def two_arguments(Quiet: Any, clock: Any) -> None:  # noqa: N803
    """Has one argument too many."""
    assert not Quiet(clock).is_away()


async def coroutine(Quiet: Any) -> None:  # noqa: N803
    """Is never run by pytest."""
    assert not Quiet(FakeClock().time).is_away()


def stub(Quiet: Any) -> None:  # noqa: N803
    """The stub."""
    raise NotImplementedError


WRONG = [
    (misses_the_edge, "passes on a class that says away after exactly five minutes; at 300 seconds, assert"),
    (looks_late, "passes on a class that says away a second too late; at 301 seconds, assert"),
    (never_away, "passes on a class that says away a second too late; at 301 seconds, assert"),
    (never_heard, "passes on a class that forgets that it has heard somebody; after `heard()`, assert"),
    (forgets_assert, "passes on a class that says away after exactly five minutes"),
    (wrong_about_the_edge, "fails on a class that is right: AssertionError"),
    (passes_the_object, "fails on a class that is right: TypeError: 'FakeClock' object is not callable"),
    (looks_inside, "fails on a class that is right and has other attributes: AttributeError"),
    (ignores_its_argument, "never makes an object of its argument; write `quiet = Quiet(…)` in it"),
    (uses_the_notebooks_object, "never makes an object of its argument; write `quiet = Quiet(…)` in it"),
    (waits_really, "waits_really() did not return within"),
    (misspelt, "fails on a class that is right: NameError: name 'fakeclock' is not defined"),
    (two_arguments, "takes (Quiet, clock), expected one argument, the class"),
    (coroutine, "is an async function, which pytest doesn't run by itself; write `def`"),
    (stub, "is still the stub"),
]


@pytest.mark.parametrize(("test", "why"), WRONG, ids=[test.__name__ for test, _ in WRONG])
def test_a_test_that_misses_a_bug_is_told_which(test: Any, why: str) -> None:
    """Each typical mistake is named."""
    said = said_by(test)
    assert said.startswith("not yet: ")
    assert why in said


@pytest.mark.parametrize("answer", [None, 7, print], ids=shown)
def test_the_check_never_raises(answer: Any) -> None:
    """Whatever is handed in, the verdict is one sentence."""
    assert said_by(answer).startswith("not yet: ")
