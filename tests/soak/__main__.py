"""What the suite does once, many times in a row: ``python -m tests.soak kill cut --times 2``.

Without names it does all of them. Each run has a seed of its own, so that one that failed can be done again:
``python -m tests.soak kill --times 1 --seed 17``. At the end there is a table; the exit status is 1 if a run failed.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lab.servers.valkey import Engine

from server import stop_all
from tests.server.counting import DeliveryError
from tests.soak.deliveries import cut, engine, kill, restart
from tests.soak.lessons import lessons

Run = Callable[[int], object]

KINDS: dict[str, Run] = {
    "kill": kill,
    "cut": cut,
    "restart": restart,
    "engine": engine,
    "lessons": lambda seed: lessons(),
}
OVER_AN_ENGINE = ("restart", "engine")


@dataclass
class Row:
    """How all runs of one kind went."""

    name: str
    runs: int = 0
    failures: int = 0
    lost: int = 0
    """Notifications that were accepted, and that a device never received."""
    doubled: int = 0
    """Notifications that a device received twice."""
    seconds: float = 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Do all runs, print the table, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one or more of {', '.join(KINDS)}; all without")
    parser.add_argument("--times", type=int, default=20, help="how many runs of each")
    parser.add_argument("--seed", type=int, default=1, help="of the first run; each other run has the next one")
    wish = parser.parse_args(arguments)
    if unknown := set(wish.names) - set(KINDS):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    rows = [repeat(name, range(wish.seed, wish.seed + wish.times)) for name in wish.names or KINDS]
    print(table(rows))
    return int(any(row.failures for row in rows))


def repeat(name: str, seeds: range) -> Row:
    """Do one run for each seed; one that fails is reported and counted, and the next one begins."""
    row = Row(name)
    if name in OVER_AN_ENGINE and (reason := Engine.missing()) is not None:
        print(f"{name}: not run, {reason}")
        return row
    began = time.monotonic()
    for seed in seeds:
        row.runs += 1
        try:
            print(f"{name} {row.runs} of {len(seeds)}, seed {seed}: {KINDS[name](seed) or 'passed'}", flush=True)
        except Exception as error:  # whatever it is, it is one run that failed
            traceback.print_exc()
            row.failures += 1
            if isinstance(error, DeliveryError):
                row.lost += error.lost
                row.doubled += error.doubled
        finally:
            stop_all()
    row.seconds = time.monotonic() - began
    return row


def table(rows: Sequence[Row]) -> str:
    """Return one line for each kind, below the names of the columns."""
    lines = [f"{'name':10}{'runs':>6}{'failures':>10}{'lost':>6}{'doubled':>9}{'seconds':>9}"]
    lines += [
        f"{row.name:10}{row.runs:6}{row.failures:10}{row.lost:6}{row.doubled:9}{row.seconds:9.0f}" for row in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
