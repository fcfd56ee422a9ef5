"""The same server in a process of its own: several workers, and something to ``kill -9``.

The parent binds the port and hands the listening socket to its children, which share it.
A child lives as long as its standard input is open, so that none outlives its notebook.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from typing import IO, Any, Self

from uvicorn.config import LOGGING_CONFIG

from .background import BackgroundServer, ports_served
from .cell import discard, enter, stop_earlier_run
from .errors import ServerError, StartError
from .listen import HOST, bind
from .log import LENGTH

__all__ = ["ServerProcess", "serve_process"]

START_DEADLINE = 10.0  # seconds for a child to start Python, import the app and accept
STOP_DEADLINE = 2.0  # seconds from SIGTERM to SIGKILL

_CHILD = "from server.process import child; child()"


class ServerProcess:
    """One or more uvicorn processes that share one port of 127.0.0.1.

    Made by `serve_process`. It is a context manager: leaving the block stops it.
    """

    def __init__(self, app: str, *, port: int = 0, workers: int = 1, **options: Any) -> None:
        if ":" not in str(app):
            raise StartError(f"serve_process() needs 'module:attribute', got {app!r}; an object cannot cross processes")
        if workers < 1:
            raise StartError(f"workers must be 1 or more, got {workers!r}")
        self.app = app
        self.workers = workers
        self.port = port
        self._options = options
        self._children: list[subprocess.Popen[bytes]] = []
        self._lines: deque[str] = deque(maxlen=LENGTH)

    def url(self, path: str = "/") -> str:
        """The WebSocket address of `path`."""
        return f"ws://{HOST}:{self.port}/{path.removeprefix('/')}"

    def http(self, path: str = "/") -> str:
        """The HTTP address of `path`."""
        return f"http://{HOST}:{self.port}/{path.removeprefix('/')}"

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of the workers that run now."""
        return tuple(child.pid for child in self._children if child.poll() is None)

    @property
    def alive(self) -> bool:
        """Whether at least one worker runs."""
        return bool(self.pids)

    @property
    def log(self) -> tuple[str, ...]:
        """The last 1,000 lines that the workers have written to their standard output and error."""
        return tuple(self._lines)

    def start(self) -> None:
        """Start the workers, on the port of the last time if there was one; return when all accept.

        Raises:
            StartError: a worker could not start within 10 s; the message is the worker's own.
        """
        if self.alive:
            raise StartError(f"the server already runs as {self.pids!r}; stop() or kill() it first")
        listener = bind(self.port)
        self.port = listener.getsockname()[1]
        ports_served.add(self.port)
        # the parent keeps no copy: after a kill -9 a client must be refused, not left waiting in the backlog
        with listener:
            self._children = [self._spawn(listener) for _ in range(self.workers)]
        enter(self)
        try:
            for child in self._children:
                self._await_ready(child)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Send SIGTERM, which drains and closes with 1012, and SIGKILL after 2 s; harmless when stopped."""
        for child in self._children:
            if child.poll() is None:
                child.terminate()
        self._reap(STOP_DEADLINE)

    def kill(self) -> None:
        """Send SIGKILL to every worker (``kill -9``): no close frame, no clean-up, no chance."""
        self._reap(0)

    def restart(self) -> None:
        """Start again on the same port, after `stop` or `kill`."""
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<ServerProcess {self.app!r}, {len(self.pids)} of {self.workers} running>"

    def _spawn(self, listener: socket.socket) -> subprocess.Popen[bytes]:
        # on POSIX the socket is inherited; and an interrupt of the notebook's cell is not meant for the server
        posix: dict[str, Any] = (
            {"pass_fds": [listener.fileno()], "start_new_session": True} if os.name == "posix" else {}
        )
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **posix,
        )
        order = {"app": self.app, "options": self._options, "listener": _share(listener, child.pid)}
        assert child.stdin is not None
        child.stdin.write(json.dumps(order).encode() + b"\n")
        child.stdin.flush()
        threading.Thread(target=self._read_log, args=(child.stderr,), name=f"log-{child.pid}", daemon=True).start()
        return child

    def _read_log(self, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                self._lines.append(line.decode(errors="replace").rstrip())

    def _await_ready(self, child: subprocess.Popen[bytes]) -> None:
        answer: list[bytes] = []
        assert child.stdout is not None
        reader = threading.Thread(target=lambda out: answer.append(out.readline()), args=(child.stdout,), daemon=True)
        reader.start()
        reader.join(START_DEADLINE)
        if not answer:
            raise StartError(f"{self.app!r} did not start within {START_DEADLINE:g} s; import it by hand to see where")
        if answer[0].strip() != b"ready":
            child.wait(STOP_DEADLINE)
            reason = answer[0].decode().strip() or f"it ended with exit code {child.returncode}"
            raise StartError(f"the server process did not start: {reason}")

    def _reap(self, seconds: float) -> None:
        for child in self._children:
            try:
                child.wait(seconds)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            for stream in (child.stdin, child.stdout):
                if stream is not None:
                    stream.close()
        self._children = []
        discard(self)


def serve_process(app: str, *, port: int = 0, workers: int = 1, **options: Any) -> ServerProcess:
    """Serve ``"module:app"`` on 127.0.0.1 from processes of its own, and return when all accept.

    `workers` processes share the port; the system hands each new connection to one of them.
    Further options go to `uvicorn.Config` and must be JSON values. When a notebook's cell is
    run again, what its last run started is stopped first.

    Raises:
        StartError: the app cannot be imported, the port is taken, or the lifespan failed.
    """
    stop_earlier_run()
    server = ServerProcess(app, port=port, workers=workers, **options)
    server.start()
    return server


def child() -> None:
    """Run in the child: serve until SIGTERM, or until the parent is gone."""
    # the app may print: standard output is for the one line that the parent waits for
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    order = json.loads(sys.stdin.readline())
    try:
        server = BackgroundServer(
            order["app"], listener=_shared(order["listener"]), **({"log_config": LOGGING_CONFIG} | order["options"])
        )
        server.start()
    except ServerError as error:
        print(" ".join(str(error).split()), file=answer, flush=True)
        sys.exit(1)
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    threading.Thread(target=_await_end, args=(over,), daemon=True).start()
    print("ready", file=answer, flush=True)
    over.wait()
    server.stop()


def _await_end(over: threading.Event) -> None:
    sys.stdin.read()
    over.set()


def _share(listener: socket.socket, pid: int) -> str:
    if sys.platform == "win32":
        return base64.b64encode(listener.share(pid)).decode()
    return str(listener.fileno())


def _shared(listener: str) -> socket.socket:
    if sys.platform == "win32":
        return socket.fromshare(base64.b64decode(listener))
    return socket.socket(fileno=int(listener))
