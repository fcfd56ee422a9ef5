"""One room over several processes: what ours and python-socketio deliver, with Valkey between the processes.

Usage: python -m benchmarks.processes [--members 4000] [--processes 1 2 4] [--seconds 2]

The members of the room are spread evenly over the processes, and one of them is the speaker. Nothing is pinned to a
core: with fewer cores than processes, more processes can't deliver more each second, so the figure to look at is what
a CPU second of all server processes together delivers. Nothing leaves 127.0.0.1.
"""

from __future__ import annotations

import argparse
import resource
import select
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import psutil
from lab.servers.valkey import Engine

from benchmarks.contestant import Contestant
from benchmarks.fanout import IN_FLIGHT, WARM, end_children
from benchmarks.load import Load
from benchmarks.record import Table, save
from benchmarks.rows import ROWS, Row

__all__ = ["SERVERS", "Spread", "main", "measure", "table"]

SERVERS = ("whole", "socketio")
"""The keys of the rows of benchmarks/fanout.py that are measured; each takes the address of an engine."""
SOURCES = (
    "benchmarks/client.py",
    "benchmarks/compiled_counter.py",
    "benchmarks/counter.c",
    "benchmarks/frame_counter.py",
    "benchmarks/load.py",
    "benchmarks/processes.py",
    "benchmarks/rows.py",
    "benchmarks/servers/socketio_events.py",
    "benchmarks/servers/whole_route.py",
    "server/app/chat.py",
    "server/broker/feed.py",
    "server/broker/valkey",
    "server/echo.py",
    "server/messages",
    "server/wire",
)
"""What the figures depend on, files and folders."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """What one server delivers with so many processes."""

    rate: float
    """Deliveries per second with many messages in flight."""
    efficiency: float
    """Deliveries for each second that the server processes ran, all together."""
    p99: float
    """99th percentile of the seconds until the last member has a message, one in flight."""
    engine: float
    """Share of a core that the engine took meanwhile."""


def measure(row: Row, processes: int, members: int, seconds: float, folder: str) -> Spread:
    """Start an engine and the processes, let the members in, and measure.

    Raises:
        Exception: the row cannot be measured here (`SkipError`), or a server fails.
    """
    with ExitStack() as stack:
        engine = stack.enter_context(Engine())
        command = [*row.command(folder), engine.url]
        servers = [Contestant(command, core=None) for _ in range(processes)]
        with ThreadPoolExecutor() as pool:  # all start at the same time
            list(pool.map(stack.enter_context, servers))
        load = stack.enter_context(Load(servers[0].port, smallest=row.smallest))
        for number, server in enumerate(servers):
            count = len(range(number, members, processes))
            load.open(row.greetings(server.port, number * members, count), port=server.port)
        load.settle(row.settling(members))
        load.say(row.frames()[:WARM], in_flight=1)
        times = sorted(load.latencies(row.frames(), seconds=seconds))
        clock = psutil.Process(engine.pid)
        before, started = _worked(clock), time.perf_counter()
        rate = load.rate(
            row.frames(), seconds=seconds, in_flight=IN_FLIGHT, worked=lambda: sum(each.worked() for each in servers)
        )
        share = (_worked(clock) - before) / (time.perf_counter() - started)
    p99 = times[min(len(times) - 1, int(0.99 * len(times)))]
    return Spread(rate=rate.deliveries, efficiency=rate.deliveries / rate.server, p99=p99, engine=share)


def _worked(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def table(processes: list[int], members: int, seconds: float) -> Table:
    """Measure each server with each number of processes, and return the rows."""
    rows, problems = [], []
    with tempfile.TemporaryDirectory() as folder:
        for row in (row for row in ROWS if row.key in SERVERS):
            for number in processes:
                name = f"{row.name}, {number} process{'es' if number > 1 else ''}"
                print(f"  {name}", file=sys.stderr, flush=True)
                try:
                    cells = _cells(measure(row, number, members, seconds, folder))
                except Exception as error:  # the others are measured all the same
                    problems.append(f"{name}: {error}")
                    cells = ["-"] * 4
                rows.append([name, *cells])
    head = [f"a room of {members:,}", "deliveries/s", "per CPU second", "p99, ms", "Valkey, % of a core"]
    return Table(head=head, rows=rows, note="; ".join(problems))


def _cells(spread: Spread) -> list[str]:
    figures = [f"{spread.rate:,.0f}", f"{spread.efficiency:,.0f}", f"{1e3 * spread.p99:,.1f}"]
    return [*figures, f"{100 * spread.engine:.1f}"]


def main() -> None:
    """Measure, print the table, and write the record."""
    if not hasattr(select, "epoll"):
        raise SystemExit("this benchmark needs Linux: epoll")
    parser = argparse.ArgumentParser()
    parser.add_argument("--members", type=int, default=4_000)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signal.signal(signal.SIGTERM, end_children)
    spread = table(options.processes, options.members, options.seconds)
    print(spread.markdown())
    command = " ".join(["python -m benchmarks.processes", *sys.argv[1:]])
    save("processes", command=command, sources=SOURCES, tables={"room": spread})


if __name__ == "__main__":
    main()
