"""Autobahn's test suite for WebSockets against `LimitedProtocol`: ``make autobahn``, some minutes.

The suite runs under Python 2.7 only. Install it there, in a folder of its own, and name both::

    python2.7 -m pip install --target /tmp/autobahn autobahntestsuite==25.10.1
    make autobahn PYTHON2=python2.7 AUTOBAHN=/tmp/autobahn

It is run twice, with the default of `Settings.message_frames` and with as many frames as it sends. What it finds must
be what ``autobahn.json`` beside this file says. ``non_strict`` are cases where a message is followed by a breach of the
protocol, and the connection may end before the message is answered: how often depends on the time that the bytes take.
Case 7.1.5 fails with uvicorn's own protocol as well. The compression of messages is left out, because the server offers
none.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from server import serve
from server.settings import Settings
from server.wire.limited_protocol import LimitedProtocol

__all__ = ["differences", "main"]

EXPECTED = Path(__file__).with_name("autobahn.json")
LARGEST = 1 << 24  # bytes of the suite's largest message
MOST_FRAMES = (1 << 16) + 1  # and frames: 4 MiB in 64 bytes each, and an empty one at the end
FEW, MANY = "few", "many"
RUN = "import site, sys; site.addsitedir(sys.argv.pop(1)); from autobahntestsuite.wstest import run; run()"
HARMLESS = {"OK", "INFORMATIONAL"}

Found = dict[str, dict[str, dict[str, str]]]
"""Of each server, of each case: what the suite says of its behavior."""


def main() -> int:
    """Run the suite, and print where its findings differ from those expected; 0 where nothing differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default="python2.7", help="a Python 2.7")
    parser.add_argument("--suite", default="", help="the folder in which autobahntestsuite is installed")
    parser.add_argument("--report", default="build/autobahn", type=Path, help="where the suite's pages go")
    options = parser.parse_args()
    try:
        command = [options.python, "-W", "ignore", "-c", RUN, options.suite, "--help"]
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        print(
            f"there is no Python 2.7 {options.python!r} that finds autobahntestsuite in {options.suite!r}; "
            "tests/attack/autobahn.py says how to install it, and how to name both",
            file=sys.stderr,
        )
        return 2
    found = run_suite(options.python, options.suite, options.report.absolute())
    lines = differences(found, json.loads(EXPECTED.read_text()))
    print(*lines, f"{sum(map(len, found.values()))} cases, {len(lines)} not as expected", sep="\n")
    return 1 if lines else 0


def run_suite(python: str, suite: str, report: Path) -> Found:
    """Let the suite test both servers; return what it found."""
    report.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {"ws": LimitedProtocol, "ws_max_size": LARGEST, "ws_per_message_deflate": False}
    frames = Settings.model_fields["message_frames"].default
    with serve(echo(frames), **options) as few, serve(echo(MOST_FRAMES), **options) as many:
        spec = {
            "outdir": str(report),
            "servers": [{"agent": FEW, "url": few.url("/")}, {"agent": MANY, "url": many.url("/")}],
            "cases": ["*"],
            "exclude-cases": ["12.*", "13.*"],
            "exclude-agent-cases": {},
        }
        file = report / "spec.json"
        file.write_text(json.dumps(spec))
        command = [python, "-W", "ignore", "-c", RUN, suite, "--mode", "fuzzingclient", "--spec", str(file)]
        subprocess.run(command, check=True)
    found: Found = json.loads((report / "index.json").read_text())
    return found


def echo(message_frames: int) -> Starlette:
    """Return an app that sends back what comes."""

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        while (event := await websocket.receive())["type"] == "websocket.receive":
            await websocket.send({"type": "websocket.send", "text": event.get("text"), "bytes": event.get("bytes")})

    return Starlette(routes=[WebSocketRoute("/", endpoint)], lifespan=with_state({"message_frames": message_frames}))


def with_state(state: dict[str, int]) -> Callable[[Starlette], AbstractAsyncContextManager[dict[str, int]]]:
    """Return a lifespan that yields this state."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, int]]:
        yield state

    return lifespan


def differences(found: Found, expected: dict[str, list[str]]) -> list[str]:
    """Return a line for each case that is not as expected."""
    lines = []
    for server, cases in found.items():
        few = expected["failed_with_256_frames"] if server == FEW else []
        allowed = {case: ["OK", "NON-STRICT"] for case in expected["non_strict"]}
        allowed |= {case: ["FAILED"] for case in [*expected["failed"], *few]}
        for case, result in sorted(cases.items()):
            wanted = allowed.get(case, ["OK"])
            behavior = "OK" if result["behavior"] in HARMLESS else result["behavior"]
            if behavior not in wanted:
                lines.append(f"{server} frames, case {case}: {behavior}, expected {' or '.join(wanted)}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
