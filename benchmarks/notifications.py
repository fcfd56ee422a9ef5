"""Notifications accepted and delivered each second, and what an inbox costs by its size; a file and Valkey.

Usage: python -m benchmarks.notifications [--users 1000] [--devices 1 5] [--pushes 5000] [--stores file valkey]
                                          [--sizes 100 1000 … 1000000] [--fill-seconds 40]

The server is a process of its own, the clients are this one: with two cores they do not share one. Programs push
over HTTP, as many at once as `--programs`, round all users; every device notes when a notification came. Delays are
from the push to its 202 and to each device, p50 / p99: under this load, and with one notification under way alone.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

from lab.servers.valkey import Engine

from benchmarks.inbox_devices import AT_ONCE, Arrivals, open_device, push_all
from benchmarks.inbox_sizes import cost_by_size
from server import serve_process

KEY = "a key for one run, of thirty-two characters"
LONE = 200  # notifications that are under way alone
ENVIRONMENT = {
    "CHAT_KEY": KEY,
    "CHAT_CONNECTIONS": "100000",
    "CHAT_PUSHES_PER_SECOND": "1e9",
    "CHAT_PUSH_BURST": "1000000000",
    "CHAT_GRACE_SECONDS": "0",
}


@contextmanager
def store(name: str) -> Iterator[str]:
    """The address of an empty log."""
    if name == "memory":
        yield "memory:"
        return
    with tempfile.TemporaryDirectory() as folder:
        if name == "file":
            yield f"sqlite:{Path(folder) / 'log.sqlite'}"
        else:
            with Engine() as engine:
                yield engine.url


def delays(arrivals: Arrivals) -> list[str]:
    """Milliseconds until accepted and until delivered, the median and the 99th percentile of each."""
    cells = []
    for seconds in (arrivals.until_accepted, arrivals.until_arrived):
        median, late = (seconds[min(len(seconds) - 1, int(len(seconds) * part))] * 1000 for part in (0.5, 0.99))
        cells.append(f"{median:.1f} / {late:.1f}")
    return cells


async def traffic(port: int, users: int, devices: int, pushes: int, programs: int) -> list[str]:
    """One row: rates under load, delays under load, delays of a lone notification."""
    names = [f"user-{number}" for number in range(users)]
    arrivals, gate = Arrivals(), asyncio.Semaphore(AT_ONCE)
    await asyncio.gather(*(open_device(port, name, KEY, arrivals, gate) for name in names for _ in range(devices)))
    start = perf_counter()
    await push_all(port, names, KEY, arrivals, count=pushes, programs=programs)
    accepted = perf_counter() - start
    await arrivals.until(pushes * devices)
    delivered, loaded = perf_counter() - start, delays(arrivals)
    arrivals.clear()
    await push_all(port, names, KEY, arrivals, count=LONE, programs=1)
    await arrivals.until((pushes + LONE) * devices)
    rates = [f"{pushes / accepted:,.0f}", f"{pushes * devices / delivered:,.0f}"]
    return [*rates, *loaded, *delays(arrivals)]


def print_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns."""
    widths = [max(len(row[column]) for row in [head, *rows] if column < len(row)) for column in range(len(head))]
    print(f"\n{title}")
    for row in (head, *rows):
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=False)), flush=True)


def main() -> None:
    """Measure every store in turn."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--users", type=int, default=1_000)
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--pushes", type=int, default=5_000)
    parser.add_argument("--programs", type=int, default=32)
    parser.add_argument("--stores", nargs="+", choices=["memory", "file", "valkey"], default=["file", "valkey"])
    parser.add_argument("--sizes", type=int, nargs="*", default=[100, 1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--fill-seconds", type=float, default=40.0)
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.environ.update(ENVIRONMENT)

    rows = []
    for name in options.stores:
        for devices in options.devices:
            with store(name) as os.environ["CHAT_BROKER"], serve_process("benchmarks.inbox_app:app") as server:
                row = asyncio.run(traffic(server.port, options.users, devices, options.pushes, options.programs))
            rows.append([name, f"{devices}", *row])
    head = ["store", "devices", "accepted/s", "delivered/s", "to 202 ms", "to device ms", "lone 202", "lone device"]
    print_table(f"{options.users:,} users online, {options.programs} programs push {options.pushes:,}", head, rows)

    head = ["stored", "push µs", "unread µs", "read ten µs", "acknowledge µs"]
    for name in options.stores if options.sizes else []:
        with store(name) as url:
            rows = asyncio.run(cost_by_size(url, sorted(options.sizes), options.fill_seconds))
        print_table(f"one inbox, by what is stored in it: {name}", head, rows)


if __name__ == "__main__":
    main()
