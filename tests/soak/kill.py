"""Nothing that was accepted is lost, counted for as long as you like: ``python tests/soak/kill.py 100``.

Kills a server so many times, cuts a cable half as often, restarts two servers in turn a quarter as often, and kills
the engine below a server as often again.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # for a server's process as well, which starts in this directory
os.chdir(ROOT)

from lab.engine import Engine  # noqa: E402

from tests.server.counting import ENVIRONMENT, Tally  # noqa: E402
from tests.server.killing import count_with_cuts, count_with_engine_kills, count_with_kills, count_with_rolling_restarts  # noqa: E402


def main() -> None:
    """Count, and print a line for each kind of trouble; an AssertionError says what was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kills", type=int, nargs="?", default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--users", type=int, default=2)
    wish = parser.parse_args()
    os.environ.update(ENVIRONMENT)
    options = {"seed": wish.seed, "users": wish.users}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CHAT_BROKER"] = f"sqlite:{folder}/killed.sqlite"
        report(wish.kills, "kills (kill -9)", count_with_kills(wish.kills, **options))
        os.environ["CHAT_BROKER"] = f"sqlite:{folder}/cut.sqlite"
        report(wish.kills // 2, "cuts of the cable", count_with_cuts(wish.kills // 2, **options))
    if (reason := Engine.available()) is not None:
        print(f"nothing over an engine: {reason}")
        return
    rounds = max(1, wish.kills // 8)
    with Engine() as engine:
        os.environ["CHAT_BROKER"] = f"{engine.url}?prefix={engine.prefix}"
        report(2 * rounds, "rolling restarts (SIGTERM)", count_with_rolling_restarts(rounds, **options))
    os.environ.pop("VALKEY_URL", None)  # an engine of yours is never killed
    with tempfile.TemporaryDirectory() as folder, Engine(data=folder) as engine:
        os.environ["CHAT_BROKER"] = engine.url
        report(wish.kills, "kills of the engine", count_with_engine_kills(engine, wish.kills, **options))


def report(times: int, what: str, counting: Coroutine[Any, Any, Tally]) -> None:
    """Count, and print what was counted."""
    tally = asyncio.run(counting)
    print(
        f"{times:4} {what:27} {tally.accepted:7,} accepted in {tally.attempts:,} requests, "
        f"{tally.received:,} received over {tally.connections:,} connections, none lost, none twice, in order "
        f"({tally.duplicates} dropped as duplicates), {tally.seconds:.0f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
