"""The check of the exercise in deeper/testing-time: the answer is a test of a class that decides by time.

The reader's test gets classes that are right, where it must pass, and classes with a bug, where it must fail.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...observe.expect import one_line
from ..verdict import NotYet, judged, reason_of, refuse_stub, result_of

__all__ = ["check_quiet_test"]

LIMIT = 300  # seconds after which somebody is away

Clock = Callable[[], float]


class Quiet:
    """Right: the class of the notebook."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.last = clock()

    def heard(self) -> None:
        """Remember that somebody was heard now."""
        self.last = self.clock()

    def is_away(self) -> bool:
        """Return whether that is too long ago."""
        return self.clock() - self.last > LIMIT


class QuietUntil:
    """Right: it remembers when somebody will be away."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.heard()

    def heard(self) -> None:
        """Remember until when somebody is here."""
        self._until = self._clock() + LIMIT

    def is_away(self) -> bool:
        """Return whether that is over."""
        return self._clock() > self._until


class Early(Quiet):
    """Wrong: away after exactly five minutes."""

    def is_away(self) -> bool:
        """Return it one step too early."""
        return self.clock() - self.last >= LIMIT


class Late(Quiet):
    """Wrong: away after five minutes and two seconds."""

    def is_away(self) -> bool:
        """Return it a second too late."""
        return self.clock() - self.last > LIMIT + 1


class Never(Quiet):
    """Wrong: takes the seconds for milliseconds."""

    def is_away(self) -> bool:
        """Return it hours too late."""
        return self.clock() - self.last > LIMIT * 1000


class Always(Quiet):
    """Wrong: away from the start."""

    def is_away(self) -> bool:
        """Return always the same."""
        return True


class Deaf(Quiet):
    """Wrong: counts from the start."""

    def heard(self) -> None:
        """Do nothing."""


class OwnClock(Quiet):
    """Wrong: looks at the computer's time."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(time.monotonic)


@dataclass(frozen=True)
class _Kind:
    made: type[Any]
    does: str
    """What the class does, behind "a class that"."""
    remedy: str = ""


AT_300, AT_301 = "; at 300 seconds, assert that nobody is away", "; at 301 seconds, assert that somebody is away"

RIGHT = (_Kind(Quiet, "is right"), _Kind(QuietUntil, "is right and has other attributes"))
BUGS = (
    _Kind(Early, "says away after exactly five minutes", AT_300),
    _Kind(Late, "says away a second too late", AT_301),
    _Kind(Never, "takes the 300 seconds for 300,000", AT_301),
    _Kind(Always, "says away from the start", AT_300),
    _Kind(Deaf, "forgets that it has heard somebody", "; after `heard()`, assert that nobody is away"),
    _Kind(OwnClock, "looks at the computer's own time", AT_301),
)


@judged("it passes on the classes that are right, and it catches each of the six bugs")
def check_quiet_test(test: Any) -> None:
    """Check ``test_quiet(Quiet)``: it fails if and only if the class is wrong about who is away."""
    refuse_stub(test)
    _refuse_signature(test)
    for kind in RIGHT:
        error = _error_of(test, kind)
        refuse_stub(test, error)
        if error is not None:
            raise NotYet(f"your test fails on a class that {kind.does}: {reason_of(error, test)}")
    for kind in BUGS:
        error = _error_of(test, kind)
        if error is None:
            raise NotYet(f"your test passes on a class that {kind.does}{kind.remedy}")
        if not isinstance(error, AssertionError):
            raise NotYet(f"on a class that {kind.does} your test fails by a mistake: {one_line(error)}")


def _refuse_signature(test: Any) -> None:
    name = getattr(test, "__name__", "the test")
    if inspect.iscoroutinefunction(test):
        raise NotYet(f"{name} is an async function, which pytest doesn't run by itself; write `def`")
    arguments = list(inspect.signature(test).parameters)
    if len(arguments) != 1:
        raise NotYet(f"{name} takes ({', '.join(arguments)}), expected one argument, the class")


def _error_of(test: Any, kind: _Kind) -> Exception | None:
    """Run the test on a class, and return the error with which it has failed."""
    made: list[Any] = []

    def noted(self: Any, *args: Any, **kwargs: Any) -> None:
        made.append(self)
        kind.made.__init__(self, *args, **kwargs)

    noting = type(kind.made.__name__, (kind.made,), {"__init__": noted})

    @functools.wraps(test)
    def run() -> Exception | None:
        try:
            test(noting)
        except Exception as error:
            return error
        return None

    error: Exception | None = result_of(run)
    if not made and (error is None or isinstance(error, AssertionError)):
        argument = next(iter(inspect.signature(test).parameters))
        raise NotYet(f"your test never makes an object of its argument; write `quiet = {argument}(…)` in it")
    return error
