"""The verdicts of lesson 04: the stub, the solution, and the answers that people really give."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from lab.checks.broadcasting import check_latest, check_missed, check_pass_on

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

    def put(self, item: str, price: int) -> None:
        """Keep the latest."""
        self.prices[item] = price
        self.filled.set()

    async def get(self) -> Any:
        """The oldest item."""
        while not self.prices:
            self.filled.clear()
            await self.filled.wait()
        return self.take()

    def take(self) -> Any:
        """Take out the first."""
        item = next(iter(self.prices))
        return item, self.prices.pop(item)


class WithAQueue:
    """Another right answer: the names wait in a queue, the prices in a dict."""

    def __init__(self) -> None:
        self.prices: dict[str, int] = {}
        self.items: asyncio.Queue[str] = asyncio.Queue()

    def put(self, item: str, price: int) -> None:
        """Only an item that does not wait yet gets in line."""
        if item not in self.prices:
            self.items.put_nowait(item)
        self.prices[item] = price

    async def get(self) -> tuple[str, int]:
        """The first in line."""
        item = await self.items.get()
        return item, self.prices.pop(item)


class WithAFlag:
    """A third right answer: a condition wakes up the one who waits, and a list keeps the order."""

    def __init__(self) -> None:
        self.waiting: list[list[Any]] = []
        self.woken: asyncio.Future[None] | None = None

    def put(self, item: str, price: int) -> None:
        """Change the price in its place, or add it at the end."""
        for one in self.waiting:
            if one[0] == item:
                one[1] = price
                return
        self.waiting.append([item, price])
        if self.woken is not None and not self.woken.done():
            self.woken.set_result(None)

    async def get(self) -> tuple[str, int]:
        """The first of the list."""
        while not self.waiting:
            self.woken = asyncio.get_running_loop().create_future()
            await self.woken
        item, price = self.waiting.pop(0)
        return item, price


def of(outbox: Any) -> Answer:
    """The function that the exercise asks for, made of a class."""

    def price_outbox() -> Any:
        made = outbox()
        return made.put, made.get

    return price_outbox


@pytest.mark.parametrize("answer", [Solution, WithAQueue, WithAFlag])
def test_an_outbox_of_latest_prices_passes(answer: Answer) -> None:
    """The solution passes, and so does another way to do it."""
    passed = "passed: each item's latest price comes, the longest waiting first, and an empty outbox waits"
    assert verdict(check_latest, of(answer)) == passed


class Stub:
    """The answer cell as it is."""

    def put(self, item: str, price: int) -> None:
        """Not written yet."""
        raise NotImplementedError

    async def get(self) -> tuple[str, int]:
        """Not written yet."""
        raise NotImplementedError


class Everything(Solution):
    """A queue: every price waits."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[tuple[str, int]] = asyncio.Queue()

    def put(self, item: str, price: int) -> None:
        """Behind all others."""
        self.queue.put_nowait((item, price))

    async def get(self) -> tuple[str, int]:
        """The oldest price."""
        return await self.queue.get()


class LatestOfAll(Solution):
    """One place for all items."""

    def put(self, item: str, price: int) -> None:
        """The others are lost."""
        self.prices.clear()
        super().put(item, price)


class NewPlace(Solution):
    """A newer price goes to the end of the line."""

    def put(self, item: str, price: int) -> None:
        """Out and in again."""
        self.prices.pop(item, None)
        super().put(item, price)


class Newest(Solution):
    """The last in line comes first."""

    def take(self) -> tuple[str, int]:
        """Take out the last."""
        return self.prices.popitem()


class First(Solution):
    """The first price stays."""

    def put(self, item: str, price: int) -> None:
        """Not if there is one."""
        self.prices.setdefault(item, price)
        self.filled.set()


class PriceOnly(Solution):
    """Leaves open whose price it is."""

    def take(self) -> int:
        """Without the item."""
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

    def put(self, item: str, price: int) -> None:
        """No set."""
        self.prices[item] = price


class DoesNotWait(Solution):
    """An empty outbox gives None."""

    async def get(self) -> Any:
        """At once."""
        return self.take() if self.prices else None


class FailsWhenEmpty(Solution):
    """An empty outbox raises."""

    async def get(self) -> tuple[str, int]:
        """Hopes."""
        item: str = next(iter(self.prices), "")
        return item, self.prices.pop(item)


class NextOfNothing(Solution):
    """An empty outbox stops an iterator, which a coroutine may not."""

    async def get(self) -> tuple[str, int]:
        """Hopes as well."""
        item = next(iter(self.prices))
        return item, self.prices.pop(item)


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

    async def put(self, item: str, price: int) -> None:  # type: ignore[override]
        """With async."""
        super().put(item, price)


class KeepsThePrice(WithAQueue):
    """Forgets `pop`."""

    async def get(self) -> tuple[str, int]:
        """The price stays in the dict, so the item seems to wait."""
        item = await self.items.get()
        return item, self.prices[item]


class KeepsTheItem(Solution):
    """Forgets `pop`, without a queue."""

    def take(self) -> tuple[str, int]:
        """The same item each time."""
        item = next(iter(self.prices))
        return item, self.prices[item]


class QueueOfOne(WithAQueue):
    """The names wait in a queue with a limit."""

    def __init__(self) -> None:
        super().__init__()
        self.items = asyncio.Queue(1)


class QueueOfOneIfNotFull(QueueOfOne):
    """The second item isn't queued."""

    def put(self, item: str, price: int) -> None:
        """Only if there is space."""
        if item not in self.prices and not self.items.full():
            self.items.put_nowait(item)
        self.prices[item] = price


class QueueOfOnePrice(Everything):
    """Keep latest as in the lesson: one space for all items."""

    def __init__(self) -> None:
        self.queue = asyncio.Queue(1)

    def put(self, item: str, price: int) -> None:
        """Takes out the old one, whatever it is."""
        if self.queue.full():
            self.queue.get_nowait()
        super().put(item, price)


class PutWithoutAwait(WithAQueue):
    """`put` in place of `put_nowait`."""

    def put(self, item: str, price: int) -> None:
        """Makes a coroutine that nobody runs."""
        if item not in self.prices:
            self.items.put(item)  # type: ignore[unused-coroutine]
        self.prices[item] = price


class QueuesEachPrice(WithAQueue):
    """Queues an item twice."""

    def put(self, item: str, price: int) -> None:
        """Doesn't look whether it waits."""
        self.items.put_nowait(item)
        self.prices[item] = price


class QueuesEachPriceAndKeepsIt(QueuesEachPrice):
    """Queues an item twice, and forgets `pop`."""

    async def get(self) -> tuple[str, int]:
        """No KeyError, but silver comes twice."""
        item = await self.items.get()
        return item, self.prices[item]


class StoresFirst(WithAQueue):
    """Looks too late whether the item waits."""

    def put(self, item: str, price: int) -> None:
        """It always does."""
        self.prices[item] = price
        if item not in self.prices:
            self.items.put_nowait(item)


class GetNowait(WithAQueue):
    """`get_nowait` in place of `await get()`."""

    async def get(self) -> tuple[str, int]:
        """Works until the queue is empty."""
        item = self.items.get_nowait()
        return item, self.prices.pop(item)


class GetWithoutAwait(WithAQueue):
    """`get` without `await`."""

    async def get(self) -> tuple[str, int]:
        """Looks for the price of a coroutine."""
        item = self.items.get()
        try:
            return item, self.prices.pop(item)  # type: ignore[call-overload, return-value]
        finally:
            item.close()  # or the test would warn of it


def one_function() -> Any:
    """Half of it."""
    return Solution().put


def needs_a_limit(limit: int) -> Any:
    """Wants to be told something."""
    return limit


WRONG_LATEST = [
    (Stub, "price_outbox is still the stub"),
    (Everything, "got ('silver', 70), expected ('silver', 72); a newer price takes the place of the older one"),
    (LatestOfAll, "got ('silver', 72), and get() still waits, expected ('gold', 2010); keep a price for each item"),
    (NewPlace, "got ('copper', 3), expected ('silver', 72); the item that has waited longest comes first"),
    (Newest, "got ('copper', 3), expected ('silver', 72); the item that has waited longest comes first"),
    (First, "got ('silver', 70), expected ('silver', 72); a newer price takes the place of the older one"),
    (PriceOnly, "got 72, expected ('silver', 72); return both, the item and its price"),
    (AllAtOnce, "return a tuple (item, price), one item at a time"),
    (NothingReturned, "got None, expected ('silver', 72); does get `return` it?"),
    (NeverWakes, "somebody waits in get(), silver 73 is put, and get() still waits; `put` must wake it"),
    (DoesNotWait, "the outbox is empty, and get() returned None; wait for the next price"),
    (FailsWhenEmpty, "price_outbox raised KeyError: ''"),
    (
        NextOfNothing,
        "raised StopIteration in the line `item = next(iter(self.prices))`; `next(…)` found nothing there",
    ),
    (Waits, "it comes only after one more `put`: get() must not wait while there is something"),
    (
        KeepsThePrice,
        "silver went out before, but `put` takes it for an item that waits: in `get`, take its price out with `pop`",
    ),
    (KeepsTheItem, "got ('silver', 72), ('silver', 72), expected ('gold', 2010); what get() returns no longer waits"),
    (QueueOfOne, "put('gold', 2000) raised QueueFull: your queue has a limit; make it with `asyncio.Queue()`"),
    (QueueOfOneIfNotFull, "expected ('gold', 2010); keep a price for each item, and a place in the queue for each"),
    (QueueOfOnePrice, "expected ('gold', 2010); keep a price for each item, and a place in the queue for each"),
    (PutWithoutAwait, "put calls the queue's `put` without `await`, so nothing gets into the queue; call `put_nowait`"),
    (QueuesEachPrice, "then get() raised KeyError: 'silver'; the item was queued twice: queue it only if no price"),
    (QueuesEachPriceAndKeepsIt, "('gold', 2010), ('silver', 72), expected ('copper', 3); the item was queued twice"),
    (StoresFirst, "got nothing, and get() still waits, expected ('silver', 72); no item has reached it: in `put`,"),
    (GetWithoutAwait, "in the line `return item, self.prices.pop(item)"),
    (GetWithoutAwait, "is an `await` missing?"),
    (GetNowait, "the outbox is empty, and get() raised QueueEmpty; wait: `await` the queue's `get()`"),
    (PlainGet, "it may have to wait, so write it with `async def`"),
    (AsyncPut, "put is a coroutine; it never waits, so write it with `def`"),
    (one_function, "expected the two functions: `return put, get`"),
    (needs_a_limit, "needs_a_limit raised TypeError"),
    (Solution(), "expected a function"),
    (None, "expected a function, got None"),
]


@pytest.mark.parametrize(("answer", "help_"), WRONG_LATEST)
def test_a_wrong_outbox_gets_a_verdict_that_helps(answer: Answer, help_: str) -> None:
    """The verdict on each typical mistake names the first wrong price."""
    said = verdict(check_latest, of(answer) if isinstance(answer, type) else answer)
    assert said.startswith("not yet: ")
    assert help_ in said


# exercise 2

Rooms = dict[str, Any]
Event = dict[str, Any]


def pass_on(event: Event, rooms: Rooms) -> None:
    """The solution of exercise 2."""
    if event["type"] == "message":
        rooms[event["channel"]].to_all(event["data"])


def pass_on_with_a_loop(event: Event, rooms: Rooms) -> None:
    """Another right answer: looks for the room among all."""
    for channel, room in rooms.items():
        if event["type"] == "message" and event["channel"] == channel:
            room.to_all(event["data"])


def pass_on_with_a_match(event: Event, rooms: Rooms) -> bool:
    """A third right answer: a pattern; what it returns is its own affair."""
    match event:
        case {"type": "message", "channel": str(channel), "data": text}:
            rooms[channel].to_all(text)
            return True
    return False


@pytest.mark.parametrize("answer", [pass_on, pass_on_with_a_loop, pass_on_with_a_match])
def test_passing_on_passes(answer: Answer) -> None:
    """The solution passes, and so does another way to do it."""
    passed = "passed: each message reaches its own room, and no room hears of the other events"
    assert verdict(check_pass_on, answer) == passed


def pass_on_stub(event: Event, rooms: Rooms) -> None:
    """The answer cell as it is."""
    raise NotImplementedError


def everything(event: Event, rooms: Rooms) -> None:
    """Does not look at the type."""
    rooms[event["channel"]].to_all(event["data"])


def all_but_one(event: Event, rooms: Rooms) -> None:
    """Knows one other type only, as `follow` might."""
    if event["type"] != "subscribe":
        rooms[event["channel"]].to_all(event["data"])


def to_every_room(event: Event, rooms: Rooms) -> None:
    """Does not look at the channel."""
    if event["type"] == "message":
        for room in rooms.values():
            room.to_all(event["data"])


def to_the_other_room(event: Event, rooms: Rooms) -> None:
    """Always the same room."""
    if event["type"] == "message":
        rooms["lobby"].to_all(event["data"])


def the_whole_event(event: Event, rooms: Rooms) -> None:
    """Passes on more than the text."""
    if event["type"] == "message":
        rooms[event["channel"]].to_all(event)


def twice(event: Event, rooms: Rooms) -> None:
    """Says it again."""
    pass_on(event, rooms)
    pass_on(event, rooms)


def only_finds_it(event: Event, rooms: Rooms) -> Any:
    """Returns the room and the text."""
    return rooms.get(event["channel"]), event["data"]


async def waits(event: Event, rooms: Rooms) -> None:
    """A coroutine."""
    pass_on(event, rooms)


def publishes(event: Event, rooms: Rooms) -> None:
    """Says it again to the engine."""
    if event["type"] == "message":
        rooms[event["channel"]].say(event["data"]).close()


def by_attribute(event: Event, rooms: Rooms) -> None:
    """Takes a dict for an object."""
    if event.type == "message":  # type: ignore[attr-defined]
        pass_on(event, rooms)


def wrong_key(event: Event, rooms: Rooms) -> None:
    """Guesses a key."""
    if event["type"] == "message":
        rooms[event["channel"]].to_all(event["text"])


WRONG_PASS_ON = [
    (pass_on_stub, "pass_on_stub is still the stub"),
    (
        everything,
        'the lobby has heard [1], the kitchen has heard []; only an event of type "message" is passed on',
    ),
    (all_but_one, "after the event unsubscribe for the kitchen with the data 1, the lobby has heard [], the kitchen"),
    (to_every_room, "a message is for the room of its channel, and for no other"),
    (to_the_other_room, "a message is for the room of its channel, and for no other"),
    (the_whole_event, 'the text of a message is in `event["data"]`'),
    (twice, "the lobby has heard ['hello', 'hello'], the kitchen has heard []; call `to_all` once"),
    (only_finds_it, "call `to_all` of the room whose key is the event's channel"),
    (waits, "returned a coroutine; write it with `def` instead of `async def`"),
    (publishes, "`say` would publish the text once more, without an end; call `to_all`"),
    (by_attribute, "'dict' object has no attribute 'type'"),
    (wrong_key, "raised KeyError: 'text'"),
    (lambda event: event["data"], "raised TypeError"),
    (None, "expected a function"),
]


@pytest.mark.parametrize(("answer", "help_"), WRONG_PASS_ON)
def test_a_wrong_pass_on_gets_a_verdict_that_helps(answer: Answer, help_: str) -> None:
    """The verdict on each typical mistake names the first event that reached the wrong ears."""
    said = verdict(check_pass_on, answer)
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


def missed_by_counting(seen: Position, history: History) -> Any:
    """A third right answer: those of the offsets after the one that was seen that are not there."""
    there = {record.position.offset for record in history.records}
    after = range(seen.offset + 1, history.position.offset + 1)
    lost = [offset for offset in after if offset not in there]
    return (len(there), len(lost)) if seen.epoch == history.position.epoch else (len(there), None)


@pytest.mark.parametrize("answer", [missed, missed_by_its_records, missed_by_counting])
def test_counting_what_was_missed_passes(answer: Answer) -> None:
    """The solution passes, and so does another way to do it."""
    passed = "passed: kept and lost messages are counted, and lost is None where nobody can know it"
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
        "a client has seen 2 and 6 to 10 are kept: got (8, 0), expected (5, 3); the kept messages are in",
    ),
    (
        lambda seen, history: (len(history.records), 0),
        "a client has seen 2 and 6 to 10 are kept: got (5, 0), expected (5, 3); the newest offset is in",
    ),
    (
        lambda seen, history: (len(history.records), history.records[0].position.offset - 1 - seen.offset),
        "raised IndexError",
    ),
    (
        lambda seen, history: (len(history.records), history.position.offset - seen.offset - len(history.records)),
        "a client has seen 4 of an earlier epoch and 1 to 9 are kept: got (9, -4), expected (9, None); offsets of",
    ),
    (
        lambda seen, history: (len(history), 0),
        "object of type 'History' has no len() in the line `lambda seen, history: (len(history), 0),`; the kept",
    ),
    (
        lambda seen, history: (sum(1 for _ in history), 0),
        "'History' object is not iterable in the line `lambda seen, history: (sum(1 for _ in history), 0),`; the kept",
    ),
    (lambda seen: (0, 0), "raised TypeError"),
    (None, "expected a function"),
]


@pytest.mark.parametrize(("answer", "help_"), WRONG_MISSED)
def test_a_wrong_count_gets_a_verdict_that_helps(answer: Answer, help_: str) -> None:
    """The verdict on each typical mistake names the first history that is counted wrong."""
    said = verdict(check_missed, answer)
    assert said.startswith("not yet: ")
    assert help_ in said
