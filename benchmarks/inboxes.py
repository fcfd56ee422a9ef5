"""What a push and a read of an inbox cost by how much is stored in all inboxes: in a file, and in Valkey.

Usage: python -m benchmarks.inboxes [--inboxes 100000] [--each 10] [--rounds 400] [--stores file valkey]

There are three stores of each kind: one is filled with so many inboxes and so many notifications in each, one with a
tenth of the inboxes and one with a hundredth. Each operation is measured on the three in turn, on inboxes that are
chosen at random; a figure is the median of the rounds. So a disk that others use slows all three.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, ExitStack
from statistics import median
from time import perf_counter

from benchmarks.inbox_filling import fill
from benchmarks.notifications import store
from benchmarks.record import Table, save
from server.broker import Broker, Limits, open_broker
from server.inbox import Inbox
from server.settings import Settings

__all__ = ["PARTS", "costs_by_filling", "main", "table"]

PARTS = (0.01, 0.1, 1.0)
FLAT = 1.3  # times as long as with a hundredth of the filling that an operation may take
OPERATIONS: dict[str, Callable[[Inbox], Awaitable[object]]] = {
    "push": lambda inbox: inbox.push(kind="order", text="on its way"),
    "read the last ten": lambda inbox: inbox.history(limit=10),
    "count the unread": lambda inbox: inbox.read_state(),
}
SOURCES = (
    "benchmarks/inbox_filling.py",
    "benchmarks/inboxes.py",
    "server/broker",
    "server/inbox.py",
)
"""What the figures depend on, files and folders."""


def limits() -> Limits:
    """Return the limits of an inbox as they are set by default."""
    return Settings(key="a key that nobody needs here, of thirty-two").inbox_limits  # type: ignore[arg-type]


async def costs_by_filling(urls: Sequence[str], inboxes: Sequence[int], rounds: int) -> list[list[float]]:
    """Return a row for each of `OPERATIONS`: the median microseconds in each of the stores, with so many inboxes."""
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(open_broker(url, limits=limits())) for url in urls]
        some = [_choose(broker, count, rounds) for broker, count in zip(stores, inboxes, strict=True)]
        for inbox in (inbox for chosen in some for inbox in chosen):
            await inbox.read_state()  # the log of its read marks begins, as at the first visit of a user
        return [await _medians(call, some) for call in OPERATIONS.values()]


def _choose(broker: Broker, count: int, rounds: int) -> list[Inbox]:
    choice = random.Random(count)
    return [Inbox(broker, f"user{choice.randrange(count)}", asyncio.Lock()) for _ in range(rounds)]


async def _medians(call: Callable[[Inbox], Awaitable[object]], some: list[list[Inbox]]) -> list[float]:
    """Return the median of each store; each round takes them in another order, because the first may have it easier."""
    times: list[list[float]] = [[] for _ in some]
    choice = random.Random(0)
    for turn in zip(*some, strict=True):
        for at in choice.sample(range(len(some)), len(some)):
            start = perf_counter()
            await call(turn[at])
            times[at].append(perf_counter() - start)
    return [1e6 * median(seconds) for seconds in times]


def table(names: Sequence[str], inboxes: int, each: int, rounds: int) -> Table:
    """Fill and measure the stores of each kind, and return the rows."""
    rows = []
    counts = [max(1, int(inboxes * part)) for part in PARTS]
    for name in names:
        with ExitStack() as stack:
            urls = [stack.enter_context(store(name)) for _ in counts]
            started = perf_counter()
            for url, count in zip(urls, counts, strict=True):
                fill(url, limits(), inboxes=count, each=each)
            print(f"  {name}: filled in {perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
            costs = asyncio.run(costs_by_filling(urls, counts, rounds))
        for operation, values in zip(OPERATIONS, costs, strict=True):
            cells = [f"{value:,.0f}" for value in values]
            rows.append([f"{name}, {operation}", *cells, f"{values[-1] / values[0]:.2f}"])
    head = ["µs each", *(f"{count * each:,} in {count:,} inboxes" for count in counts), "last / first"]
    return Table(head=head, rows=rows)


def main() -> None:
    """Measure, print the table, and write the record."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--inboxes", type=int, default=100_000)
    parser.add_argument("--each", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--stores", nargs="+", choices=["file", "valkey"], default=["file", "valkey"])
    options = parser.parse_args()
    costs = table(options.stores, options.inboxes, options.each, options.rounds)
    print(costs.markdown())
    for row in costs.rows:
        verdict = "reached" if float(row[-1]) <= FLAT else "missed"
        print(f"target {row[0]}: at most {FLAT} times: {row[-1]}, {verdict}")
    command = " ".join(["python -m benchmarks.inboxes", *sys.argv[1:]])
    save("inboxes", command=command, sources=SOURCES, tables={"filling": costs})


if __name__ == "__main__":
    main()
