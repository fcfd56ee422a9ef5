"""The verdicts of lesson 04: the stub, the solution, and the answers that people really give."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest
from lab.checks.broadcasting import check_latest, check_missed, check_room_limit

from server.broker import History, Position
from tests.lab.checks.verdicts import verdict

Check = Callable[[Any], object]
Answer = Callable[..., Any]


# exercise 1


class Solution:
    """The solution of exercise 1."""

    def __init__(self) -> None:
        self.prices: dict[str, int] = {}
        self.filled = asyncio.Event()

    def put(self, paper: str, price: int) -> None:
        """Keep the latest."""
        self.prices[paper] = price
        self.filled.set()

    async def get(self) -> Any:
        """The oldest paper."""
        while not self.prices:
            self.filled.clear()
            await self.filled.wait()
        return self.take()

    def take(self) -> Any:
        """Take out the first."""
        paper = next(iter(self.prices))
        return paper, self.prices.pop(paper)


class WithAQueue:
    """Another right answer: the names wait in a queue, the prices in a dict."""

    def __init__(self) -> None:
        self.prices: dict[str, int] = {}
        self.papers: asyncio.Queue[str] = asyncio.Queue()

    def put(self, paper: str, price: int) -> None:
        """Only a paper that does not wait yet gets in line."""
        if paper not in self.prices:
            self.papers.put_nowait(paper)
        self.prices[paper] = price

    async def get(self) -> tuple[str, int]:
        """The first in line."""
        paper = await self.papers.get()
        return paper, self.prices.pop(paper)


def of(outbox: Any) -> Answer:
    """The function that the exercise asks for, made of a class."""

    def price_outbox() -> Any:
        made = outbox()
        return made.put, made.get

    return price_outbox


@pytest.mark.parametrize("answer", [Solution, WithAQueue])
def test_an_outbox_of_latest_prices_passes(answer: Answer) -> None:
    """The solution passes, and so does another way to do it."""
    passed = "passed: each paper's latest price, whoever has waited longest first, and an empty outbox waits"
    assert verdict(check_latest, of(answer)) == passed


class Stub:
    """The answer cell as it is."""

    def put(self, paper: str, price: int) -> None:
        """Not written yet."""
        raise NotImplementedError

    async def get(self) -> tuple[str, int]:
        """Not written yet."""
        raise NotImplementedError


class Everything(Solution):
    """A queue: every price waits."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[tuple[str, int]] = asyncio.Queue()

    def put(self, paper: str, price: int) -> None:
        """Behind all others."""
        self.queue.put_nowait((paper, price))

    async def get(self) -> tuple[str, int]:
        """The oldest price."""
        return await self.queue.get()


class LatestOfAll(Solution):
    """One place for all papers."""

    def put(self, paper: str, price: int) -> None:
        """The others are lost."""
        self.prices.clear()
        super().put(paper, price)


class NewPlace(Solution):
    """A newer price goes to the end of the line."""

    def put(self, paper: str, price: int) -> None:
        """Out and in again."""
        self.prices.pop(paper, None)
        super().put(paper, price)


class Newest(Solution):
    """The last in line comes first."""

    def take(self) -> tuple[str, int]:
        """Take out the last."""
        return self.prices.popitem()


class First(Solution):
    """The first price stays."""

    def put(self, paper: str, price: int) -> None:
        """Not if there is one."""
        self.prices.setdefault(paper, price)
        self.filled.set()


class PriceOnly(Solution):
    """Leaves open whose price it is."""

    def take(self) -> int:
        """Without the paper."""
        price: int = super().take()[1]
        return price


class AllAtOnce(Solution):
    """The whole dict."""

    def take(self) -> dict[str, int]:
        """All of them."""
        prices, self.prices = self.prices, {}
        return prices


class NothingReturned(Solution):
    """Takes it out and keeps it."""

    def take(self) -> None:
        """No return."""
        super().take()


class NeverWakes(Solution):
    """Forgets the event."""

    def put(self, paper: str, price: int) -> None:
        """No set."""
        self.prices[paper] = price


class DoesNotWait(Solution):
    """An empty outbox gives None."""

    async def get(self) -> Any:
        """At once."""
        return self.take() if self.prices else None


class FailsWhenEmpty(Solution):
    """An empty outbox raises."""

    async def get(self) -> tuple[str, int]:
        """Hopes."""
        paper: str = next(iter(self.prices), "")
        return paper, self.prices.pop(paper)


class Waits(Solution):
    """Clears the event too early."""

    async def get(self) -> Any:
        """Each time it waits."""
        await self.filled.wait()
        self.filled.clear()
        return self.take()


class PlainGet(Solution):
    """Cannot wait."""

    def get(self) -> Any:
        """Without async."""
        return self.take()


class AsyncPut(Solution):
    """Waits where it must not."""

    async def put(self, paper: str, price: int) -> None:  # type: ignore[override]
        """With async."""
        super().put(paper, price)


def one_function() -> Any:
    """Half of it."""
    return Solution().put


def needs_a_limit(limit: int) -> Any:
    """Wants to be told something."""
    return limit


WRONG_LATEST = [
    (Stub, "price_outbox is still the stub"),
    (Everything, "got ('oil', 70), expected ('oil', 72); a newer price takes the place of the older one"),
    (LatestOfAll, "got ('oil', 72), and get() still waits, expected ('gold', 2010); keep a price for each paper"),
    (NewPlace, "got ('tea', 3), expected ('oil', 72); the paper that has waited longest comes first"),
    (Newest, "got ('tea', 3), expected ('oil', 72); the paper that has waited longest comes first"),
    (First, "got ('oil', 70), expected ('oil', 72); a newer price takes the place of the older one"),
    (PriceOnly, "got 72, expected ('oil', 72); return both, the paper and its price"),
    (AllAtOnce, "return a tuple of two, one paper at a time"),
    (NothingReturned, "got None, expected ('oil', 72); does get `return` it?"),
    (NeverWakes, "a price is put, and it waits on; wake it with an event"),
    (DoesNotWait, "the outbox is empty, and get() returned None; wait for the next price"),
    (FailsWhenEmpty, "price_outbox raised KeyError: ''"),
    (Waits, "keep a price for each paper, and clear the event only when none is left"),
    (PlainGet, "it may have to wait, so write it with `async def`"),
    (AsyncPut, "put is a coroutine; it never waits, so write it with `def`"),
    (one_function, "expected the two functions: `return put, get`"),
    (needs_a_limit, "needs_a_limit raised TypeError"),
    (Solution(), "a function is wanted"),
    (None, "a function is wanted, got None"),
]


@pytest.mark.parametrize(("answer", "help_"), WRONG_LATEST)
def test_a_wrong_outbox_gets_a_verdict_that_helps(answer: Answer, help_: str) -> None:
    """Each typical mistake is told by the first price that comes otherwise."""
    said = verdict(check_latest, of(answer) if isinstance(answer, type) else answer)
    assert said.startswith("not yet: ")
    assert help_ in said


# exercise 2


def room_limit(burst: float, per_second: float) -> Answer:
    """The solution of exercise 2."""
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


@pytest.mark.parametrize("answer", [room_limit, with_one_number])
def test_a_room_limit_passes(answer: Answer) -> None:
    """The solution passes, and so does another way to do it."""
    passed = "passed: each room has its burst, fills up again as time goes by, and never above its burst"
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
    (always, "after messages in the lobby at 0, 0, 0 s: got True, expected False; when the tokens are used up, say no"),
    (never, "at 0 s in the lobby: got False, expected True; a room begins with `burst` tokens"),
    (
        one_for_all,
        "at 0 s in the kitchen after messages in the lobby at 0, 0, 0 s: got False, expected True; each room",
    ),
    (never_refills, "at 1 s in the lobby after messages in the lobby at 0, 0, 0 s: got False, expected True; a token"),
    (no_ceiling, "got True, expected False; a room that was quiet for long is full, and never has more than `burst`"),
    (whole_seconds, "at 1 s in the lobby after messages in the lobby at 0, 0, 0 s: got False, expected True; a token"),
    (windows, "at 1 s in the lobby after messages in the lobby at 0, 0, 0, 1 s: got True, expected False; a token"),
    (says_nothing, "allowed('lobby', 0) returned None; return True or False"),
    (no_function, "room_limit returned True, expected the function that is asked for each message"),
    (None, "a function is wanted"),
]


@pytest.mark.parametrize(("answer", "help_"), WRONG_LIMIT)
def test_a_wrong_room_limit_gets_a_verdict_that_helps(answer: Answer, help_: str) -> None:
    """Each typical mistake is told by the first message that is judged otherwise."""
    said = verdict(check_room_limit, answer)
    assert said.startswith("not yet: ")
    assert help_ in said


# exercise 3


def missed(seen: Position, history: History) -> Any:
    """The solution of exercise 3."""
    there = len(history.records)
    lost = history.position.offset - seen.offset - there
    return there, lost if history.position.epoch == seen.epoch else None


def missed_by_its_records(seen: Position, history: History) -> Any:
    """Another right answer: by the first record."""
    if history.position.epoch != seen.epoch:
        return len(history.records), None
    first = history.records[0].position.offset if history.records else history.position.offset + 1
    return len(history.records), first - 1 - seen.offset


@pytest.mark.parametrize("answer", [missed, missed_by_its_records])
def test_counting_what_was_missed_passes(answer: Answer) -> None:
    """The solution passes, and so does another way to do it."""
    passed = "passed: what is kept is counted, and what is lost, and where nobody can know it says None"
    assert verdict(check_missed, answer) == passed


def missed_stub(seen: Position, history: History) -> Any:
    """The answer cell as it is."""
    raise NotImplementedError


WRONG_MISSED = [
    (missed_stub, "missed_stub is still the stub"),
    (lambda seen, history: print(end=""), "got None, expected (3, 0); does the function `return` it?"),
    (lambda seen, history: len(history.records), "got 3, expected (3, 0); return a tuple of two"),
    (
        lambda seen, history: (history.position.offset - seen.offset, 0),
        "somebody has seen 2 and 6 to 10 are kept: got (8, 0), expected (5, 3); those that are kept are in",
    ),
    (
        lambda seen, history: (len(history.records), 0),
        "somebody has seen 2 and 6 to 10 are kept: got (5, 0), expected (5, 3); the newest offset is in",
    ),
    (
        lambda seen, history: (len(history.records), history.records[0].position.offset - 1 - seen.offset),
        "raised IndexError",
    ),
    (
        lambda seen, history: (len(history.records), history.position.offset - seen.offset - len(history.records)),
        "somebody has seen 4 of an earlier epoch and 1 to 9 are kept: got (9, -4), expected (9, None); offsets of two",
    ),
    (lambda seen: (0, 0), "raised TypeError"),
    (None, "a function is wanted"),
]


@pytest.mark.parametrize(("answer", "help_"), WRONG_MISSED)
def test_a_wrong_count_gets_a_verdict_that_helps(answer: Answer, help_: str) -> None:
    """Each typical mistake is told by the first history that is counted otherwise."""
    said = verdict(check_missed, answer)
    assert said.startswith("not yet: ")
    assert help_ in said
