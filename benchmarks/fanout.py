"""One message to everyone: what our fan-out delivers, beside what people use today.

Usage: python -m benchmarks.fanout [--quick] [--rows KEY,…] [--sizes N,…] [--repetitions R] [--results FOLDER]

Each server runs on a core of its own and the load client on another. One of the N connections is the
speaker: what it says, the server sends to all N. A table goes to standard output; table and plots go
to benchmarks/results/. Everything is measured in turn, and again, in one run; a figure is the median
of its repetitions. Nothing leaves 127.0.0.1.
"""

from __future__ import annotations

import argparse
import os
import resource
import select
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from benchmarks.client import Greeting, LostError, StalledError, frame
from benchmarks.contestant import Contestant, cores
from benchmarks.fanout_plot import plot
from benchmarks.fanout_results import Capacity, Figures, Muted, Results, Sample
from benchmarks.fanout_table import capacity, markdown, summary, text
from benchmarks.load import Load
from benchmarks.record import RESULTS, save
from benchmarks.rows import ELSEWHERE, ROWS, Row

__all__ = ["Plan", "end_children", "main", "measure", "measure_capacity", "measure_muted"]

IN_FLIGHT = 20
WARM = 5  # messages before anything is measured
HEALTHY = 3  # connections that read, beside one that never does, while memory is watched
FLOOD = 16 << 20  # bytes for each of them
PIECES = 16  # of the flood, with a look at the memory after each
SEND_BUFFER = 1 << 15  # of the kernel, for each connection of a server that has a client which never reads
FILL = 11 << 14  # bytes that are more than the kernel, the event loop and the client's socket hold for one connection


SOURCES = (
    "benchmarks/client.py",
    "benchmarks/compiled_counter.py",
    "benchmarks/counter.c",
    "benchmarks/fanout.py",
    "benchmarks/frame_counter.py",
    "benchmarks/load.py",
    "benchmarks/rows.py",
    "benchmarks/servers",
    "server/app/chat.py",
    "server/broadcasting.py",
    "server/broker/feed.py",
    "server/broker/sqlite",
    "server/echo.py",
    "server/messages",
    "server/wire",
)
"""What the figures depend on, files and folders."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is measured."""

    rows: tuple[Row, ...]
    sizes: tuple[int, ...]
    """Numbers of connections."""
    repetitions: int
    seconds: float
    """For each rate, and for each series of single messages."""
    muted: int
    """Connections beside the one that never reads."""


@contextmanager
def running(row: Row, folder: str, *, send_buffer: int | None = None) -> Iterator[tuple[Contestant, Load]]:
    """The server of a row and a load client, both pinned; gone at the end, whatever happens."""
    pinned = cores()
    core = pinned[0] if pinned else None
    with ExitStack() as stack:
        server = stack.enter_context(Contestant(row.command(folder), core=core, send_buffer=send_buffer))
        try:
            yield server, stack.enter_context(Load(server.port, smallest=row.smallest))
        except LostError as error:
            raise LostError(f"{error} ({server.last_words})") from None


def measure(row: Row, size: int, seconds: float, folder: str) -> Sample:
    """Memory, latency and rate with `size` connections, on a fresh server.

    Raises:
        Exception: the row cannot be measured here (`SkipError`), or its server fails.
    """
    with running(row, folder) as (server, load):
        greetings = row.greetings(server.port, 0, size)
        load.open(greetings[:1])
        load.say(row.frames()[:WARM], in_flight=1)
        before = server.resident()
        load.open(greetings[1:])
        load.settle(row.settling(size))
        idle = 1024 * (server.resident() - before) / max(1, size - 1)
        times = load.latencies(row.frames(), seconds=seconds)
        rate = load.rate(row.frames(), seconds=seconds, in_flight=IN_FLIGHT, worked=server.worked)
    ordered = sorted(times)
    return Sample(
        rate=rate.deliveries,
        p50=statistics.median(ordered),
        p99=ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))],
        idle=idle,
        client=rate.client,
        server=rate.server,
    )


def measure_muted(row: Row, size: int, seconds: float, folder: str) -> Muted:
    """What the others get beside a client that never reads, and how the server's memory grows.

    Raises:
        Exception: the row cannot be measured here (`SkipError`), or its server fails.
    """
    with running(row, folder, send_buffer=SEND_BUFFER) as (server, load):
        *greetings, last = row.greetings(server.port, 0, size + 1)
        load.open(greetings)
        load.settle(row.settling(size))
        without = load.rate(row.frames(), seconds=seconds, in_flight=IN_FLIGHT).deliveries
        load.open_mute(last)
        try:
            load.settle(row.settling(size))
            load.say(row.bulky(FILL), in_flight=4)
            rate = load.rate(row.frames(), seconds=seconds, in_flight=IN_FLIGHT).deliveries
        except StalledError:
            rate = 0.0
    return Muted(ratio=rate / without, growth=_growth(row, folder))


def _growth(row: Row, folder: str) -> float:
    """MiB by which a fresh server grows at most while one of a few clients does not read what it is sent."""
    with running(row, folder, send_buffer=SEND_BUFFER) as (server, load):
        *greetings, last = row.greetings(server.port, 0, HEALTHY + 1)
        load.open(greetings)
        flood = row.bulky(FLOOD)
        load.say(flood[: len(flood) // 4], in_flight=4)  # fills what a server keeps anyway, such as a history
        load.open_mute(last)
        load.settle(row.settling(HEALTHY))
        before = peak = server.resident()
        try:
            for start in range(0, len(flood), len(flood) // PIECES):
                load.say(flood[start : start + len(flood) // PIECES], in_flight=4)
                peak = max(peak, server.resident())
        except StalledError:
            peak = max(peak, server.resident())
    return peak - before


def measure_capacity(frames: int, size: int, seconds: float) -> Capacity:
    """What the load client counts when a source writes to it blocks of so many ready-made frames."""
    pinned = cores()
    command = [sys.executable, "-m", "benchmarks.servers.joined", "{fd}", str(frames)]
    with ExitStack() as stack:
        server = stack.enter_context(Contestant(command, core=pinned[0] if pinned else None))
        load = stack.enter_context(Load(server.port))
        load.open([Greeting()] * size)
        rate = load.drink(frame("go"), seconds=seconds)
    return Capacity(frames=frames, size=size, rate=rate.deliveries, client=rate.client)


def run(plan: Plan, folder: str, say: Callable[[str], None]) -> Results:
    """Measure every row in turn for each size, and all of it again for each repetition.

    Rows that are compared are measured shortly after each other: a machine's speed changes within minutes.
    """
    results = Results(sizes=plan.sizes, muted_size=plan.muted, in_flight=IN_FLIGHT, flood=FLOOD >> 20)
    for row in plan.rows:
        results.rows[row.key] = Figures(name=row.name)
    for repetition in range(1, plan.repetitions + 1):
        for size in plan.sizes:
            say(f"{repetition} of {plan.repetitions}: {size:,} connections")
            for row in plan.rows:
                figures = results.rows[row.key]
                with figures.noting(f"{size:,}"):
                    figures.samples.setdefault(size, []).append(measure(row, size, plan.seconds, folder))
        say(f"{repetition} of {plan.repetitions}: beside one that never reads")
        for row in plan.rows:
            with results.rows[row.key].noting("never reads"):
                results.rows[row.key].muted.append(measure_muted(row, plan.muted, plan.seconds, folder))
    say("the load client alone")
    for frames in (1, IN_FLIGHT):
        with next(iter(results.rows.values())).noting("the load client alone"):
            results.capacities.append(measure_capacity(frames, plan.muted, plan.seconds))
    return results


def _plan(arguments: argparse.Namespace) -> Plan:
    known = {row.key: row for row in (*ROWS, *ELSEWHERE)}
    keys = arguments.rows.split(",") if arguments.rows else [row.key for row in ROWS]
    if unknown := [key for key in keys if key not in known]:
        raise SystemExit(f"no row is called {unknown[0]!r}; there are {', '.join(known)}")
    default = (100, 1_000) if arguments.quick else (100, 1_000, 4_000)
    sizes = tuple(int(size) for size in arguments.sizes.split(",")) if arguments.sizes else default
    return Plan(
        rows=tuple(known[key] for key in keys),
        sizes=sizes,
        repetitions=arguments.repetitions or (1 if arguments.quick else 3),
        seconds=0.5 if arguments.quick else 0.7,
        muted=max((size for size in sizes if size <= 1_000), default=1_000),
    )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="One message to everyone: our fan-out beside what people use today.")
    parser.add_argument("--quick", action="store_true", help="100 and 1,000 connections, once")
    parser.add_argument("--rows", help=f"only these: {','.join(row.key for row in (*ROWS, *ELSEWHERE))}")
    parser.add_argument("--name", default="fanout", help="what record, table and plot are called")
    parser.add_argument("--sizes", help="numbers of connections, 100,1000,4000, quick 100,1000")
    parser.add_argument("--repetitions", type=int, help="how often everything is measured; 3, quick 1")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the record, the table and the plot")
    return parser.parse_args()


def end_children(number: int, stack: object) -> NoReturn:
    """End with SystemExit when a signal comes, so that every `with` ends its children."""
    raise SystemExit(128 + number)


def main() -> None:
    """Measure, print the table, and write it and the plot."""
    if not hasattr(select, "epoll"):
        raise SystemExit("this benchmark needs Linux: epoll, and processes that are pinned to a core")
    arguments = _parse()
    plan = _plan(arguments)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signal.signal(signal.SIGTERM, end_children)
    if (pinned := cores()) is not None:
        os.sched_setaffinity(0, {pinned[1]})
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        results = run(plan, folder, lambda line: print(f"  {line}", file=sys.stderr, flush=True))
    results.minutes = (time.monotonic() - started) / 60
    print(text(results))
    arguments.results.mkdir(parents=True, exist_ok=True)
    (arguments.results / f"{arguments.name}.md").write_text(markdown(results))
    save(
        arguments.name,
        command=" ".join(["python -m benchmarks.fanout", *sys.argv[1:]]),
        sources=SOURCES,
        tables={"summary": summary(results), "capacity": capacity(results.rows["whole"], results.main_size)}
        if "whole" in results.rows
        else {"summary": summary(results)},
        folder=arguments.results,
    )
    plot(results, arguments.results / f"{arguments.name}.png")


if __name__ == "__main__":
    main()
