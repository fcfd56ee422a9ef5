"""Verdicts on exercise 2 of deeper/sessions: the stub, the solution, and the answers that people really give."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from lab.checks.manager import check_room_limit

from tests.lab.checks.verdicts import verdict

Answer = Callable[..., Any]


def room_limit(burst: float, per_second: float) -> Answer:
    """The solution."""
    buckets: dict[str, tuple[float, float]] = {}

    def allowed(room: str, now: float) -> bool:
        tokens, when = buckets.get(room, (burst, now))
        tokens = min(burst, tokens + (now - when) * per_second)
        buckets[room] = tokens - (tokens >= 1), now
        return tokens >= 1

    return allowed


def with_one_number(burst: float, per_second: float) -> Answer:
    """Another right answer: the moment at which the bucket is full again."""
    full: dict[str, float] = {}

    def allowed(room: str, now: float) -> bool:
        later = max(full.get(room, now), now) + 1 / per_second
        if later - now > burst / per_second:
            return False
        full[room] = later
        return True

    return allowed


class Bucket:
    """The tokens of one room."""

    def __init__(self, burst: float, per_second: float) -> None:
        self.tokens, self.burst, self.per_second = burst, burst, per_second
        self.counted: float | None = None

    def take(self, now: float) -> bool:
        """Fill it up, and take one if there is one."""
        if self.counted is not None:
            self.tokens += self.per_second * (now - self.counted)
        self.counted = now
        self.tokens = min(self.tokens, self.burst)
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


def with_objects(burst: float, per_second: float) -> Answer:
    """A third right answer: an object for each room."""
    buckets: dict[str, Bucket] = {}

    def allowed(room: str, now: float) -> bool:
        if room not in buckets:
            buckets[room] = Bucket(burst, per_second)
        return buckets[room].take(now)

    return allowed


@pytest.mark.parametrize("answer", [room_limit, with_one_number, with_objects])
def test_a_room_limit_passes(answer: Answer) -> None:
    """The solution passes, and so does another way to do it."""
    passed = "passed: each room has its own tokens, they come back with time, and there are never more than `burst`"
    assert verdict(check_room_limit, answer) == passed


def limit_stub(burst: float, per_second: float) -> Answer:
    """The answer cell as it is."""

    def allowed(room: str, now: float) -> bool:
        raise NotImplementedError

    return allowed


def always(burst: float, per_second: float) -> Answer:
    """Allows everything."""
    return lambda room, now: True


def never(burst: float, per_second: float) -> Answer:
    """Begins with an empty bucket."""
    return lambda room, now: False


def one_for_all(burst: float, per_second: float) -> Answer:
    """The rooms share their tokens."""
    allowed = room_limit(burst, per_second)
    return lambda room, now: allowed("all", now)


def never_refills(burst: float, per_second: float) -> Answer:
    """Counts, and does not look at the time."""
    return room_limit(burst, 0)


def no_ceiling(burst: float, per_second: float) -> Answer:
    """Saves up for ever."""
    buckets: dict[str, tuple[float, float]] = {}

    def allowed(room: str, now: float) -> bool:
        tokens, when = buckets.get(room, (burst, now))
        tokens += (now - when) * per_second
        buckets[room] = tokens - (tokens >= 1), now
        return tokens >= 1

    return allowed


def whole_seconds(burst: float, per_second: float) -> Answer:
    """Throws away parts of a second."""
    buckets: dict[str, tuple[float, float]] = {}

    def allowed(room: str, now: float) -> bool:
        tokens, when = buckets.get(room, (burst, now))
        tokens = min(burst, tokens + math.floor(now - when) * per_second)
        buckets[room] = tokens - (tokens >= 1), now
        return tokens >= 1

    return allowed


def windows(burst: float, per_second: float) -> Answer:
    """A new burst in each second."""
    counts: dict[tuple[str, int], int] = {}

    def allowed(room: str, now: float) -> bool:
        window = (room, int(now))
        counts[window] = counts.get(window, 0) + 1
        return counts[window] <= burst

    return allowed


def says_nothing(burst: float, per_second: float) -> Answer:
    """Computes, and does not tell."""
    allowed = room_limit(burst, per_second)

    def asked(room: str, now: float) -> None:
        allowed(room, now)

    return asked


def no_function(burst: float, per_second: float) -> bool:
    """Answers before it is asked."""
    return True


WRONG_LIMIT = [
    (limit_stub, "allowed is still the stub"),
    (
        always,
        "after messages in the lobby at 0, 0, 0 s: got True, expected False; return False when the tokens are used up",
    ),
    (never, "at 0 s in the lobby: got False, expected True; a room starts with `burst` tokens"),
    (
        one_for_all,
        "at 0 s in the kitchen after messages in the lobby at 0, 0, 0 s: got False, expected True; each room",
    ),
    (never_refills, "at 1 s in the lobby after messages in the lobby at 0, 0, 0 s: got False, expected True; a token"),
    (no_ceiling, "got True, expected False; after a long silence a room has `burst` tokens, and never more"),
    (whole_seconds, "at 1 s in the lobby after messages in the lobby at 0, 0, 0 s: got False, expected True; a token"),
    (windows, "at 1 s in the lobby after messages in the lobby at 0, 0, 0, 1 s: got True, expected False; a token"),
    (says_nothing, "allowed('lobby', 0) returned None; return True or False"),
    (no_function, "room_limit returned True, expected a function to call for each message"),
    (None, "expected a function"),
]


@pytest.mark.parametrize(("answer", "help_"), WRONG_LIMIT)
def test_a_wrong_room_limit_gets_a_verdict_that_helps(answer: Answer, help_: str) -> None:
    """The verdict on each typical mistake names the first message that is judged wrong."""
    said = verdict(check_room_limit, answer)
    assert said.startswith("not yet: ")
    assert help_ in said
