"""How long a server takes to start and to stop: `serve`, `serve_process`, and `uvicorn` as a process.

Usage: python -m benchmarks.start [repetitions]

Prints medians in milliseconds and their ratio to `uvicorn` as a process, all from one run, the
ways taken in turn. "Accepts" is measured by a first WebSocket message that came back.
"""

from __future__ import annotations

import random
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from fastapi import FastAPI, WebSocket
from websockets.sync.client import connect

from benchmarks.record import Table, save
from server import BackgroundServer, ServerProcess, StartError, serve, serve_process

SOURCES = ("benchmarks/start.py", "server/run")
"""What the figures depend on, files and folders."""

PORTS = range(10_000, 12_000)  # the system gives none of them to whoever asks for port 0

app = FastAPI()


@app.websocket("/ws")
async def echo(websocket: WebSocket) -> None:
    """Send back what comes."""
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


def free_port() -> int:
    """Find a port that nobody uses; one that the system gave would go to the next who asks, once it is closed."""
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    raise StartError(f"no port of {PORTS!r} is free; end what listens on one of them")


class UvicornProcess:
    """The command that the documentation gives, and the wait that it leaves to you."""

    def __init__(self) -> None:
        self.port = free_port()
        command = [
            sys.executable,
            "-m",
            "uvicorn",
            "benchmarks.start:app",
            "--port",
            str(self.port),
            "--log-level",
            "error",
        ]
        self._process = subprocess.Popen(command)

    def url(self, path: str) -> str:
        """The address of `path`."""
        return f"ws://127.0.0.1:{self.port}{path}"

    def stop(self) -> None:
        """Send SIGTERM and wait."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)


Server = BackgroundServer | ServerProcess | UvicornProcess

WAYS: dict[str, Callable[[], Server]] = {
    "uvicorn as a process": UvicornProcess,
    "serve_process": lambda: serve_process("benchmarks.start:app"),
    "serve (thread)": lambda: serve(app),
}


def echo_once(url: str, deadline: float = 10) -> None:
    """Connect as soon as somebody listens, and wait for one message to come back."""
    end = time.perf_counter() + deadline
    while True:
        try:
            with connect(url, close_timeout=0.1) as websocket:
                websocket.send("hello")
                assert websocket.recv(timeout=5) == "hello"
                return
        except ConnectionRefusedError:
            if time.perf_counter() > end:
                raise
            time.sleep(0.002)


def once(start: Callable[[], Server]) -> tuple[float, float, float]:
    """Milliseconds until start returned, until the first message came back, and for an idle stop."""
    t0 = time.perf_counter()
    server = start()
    t1 = time.perf_counter()
    echo_once(server.url("/ws"))
    t2 = time.perf_counter()
    server.stop()
    t3 = time.perf_counter()
    return 1e3 * (t1 - t0), 1e3 * (t2 - t0), 1e3 * (t3 - t2)


def measure(repetitions: int) -> Table:
    """Take the ways in turn, so many times, and return one table of medians."""
    times: dict[str, list[tuple[float, float, float]]] = {way: [] for way in WAYS}
    for repetition in range(repetitions + 1):
        for way, start in WAYS.items():
            result = once(start)
            if repetition:  # the first round warms up
                times[way].append(result)
    base = statistics.median(total for _, total, _ in times["uvicorn as a process"])
    rows = []
    for way, results in times.items():
        returns, first, stop = (statistics.median(column) for column in zip(*results, strict=True))
        shown = "-" if way.startswith("uvicorn") else f"{returns:.1f}"
        rows.append([way, shown, f"{first:.1f}", f"{first / base:.2f}", f"{stop:.1f}"])
    return Table(head=["", "start returns, ms", "first echo, ms", "ratio", "idle stop, ms"], rows=rows)


def main(repetitions: int = 15) -> None:
    """Measure, print the table, and write the record."""
    table = measure(repetitions)
    print(table.markdown())
    save("start", command=f"python -m benchmarks.start {repetitions}", sources=SOURCES, tables={"start": table})


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:2]))
