"""Servers in processes of their own, which can be several workers or a victim for ``kill -9``: ``serve_process(…)``.

The parent binds the port and passes the listening socket to its children, which share it.
A child stops when its parent has ended or its standard input is closed, so that none outlives its notebook.
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

from ..errors import ServerError, StartError
from .background import BackgroundServer, ports_served
from .log import LENGTH
from .registry import discard, enter, stop_earlier_run
from .sockets import HOST, bind

__all__ = ["ServerProcess", "serve_process"]

START_DEADLINE = 30.0  # seconds for a child to import the app and accept; a busy machine needs ten and more
STOP_DEADLINE = 2.0  # seconds from SIGTERM to SIGKILL
PARENT_CHECK = 0.5  # seconds between two checks whether the parent is still running

_CHILD = "from server.run.process import child; child()"


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
        """Return the WebSocket address of `path`."""
        return f"ws://{HOST}:{self.port}/{path.removeprefix('/')}"

    def http(self, path: str = "/") -> str:
        """Return the HTTP address of `path`."""
        return f"http://{HOST}:{self.port}/{path.removeprefix('/')}"

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of the workers that are running now."""
        return tuple(child.pid for child in self._children if child.poll() is None)

    @property
    def alive(self) -> bool:
        """Whether at least one worker is running."""
        return bool(self.pids)

    @property
    def log(self) -> tuple[str, ...]:
        """The last 1,000 lines that the workers have written to their standard output and error."""
        return tuple(self._lines)

    def start(self) -> None:
        """Start the workers, on the same port as last time if there was one; return when all of them accept.

        Raises:
            StartError: a worker could not start within 10 s; the message is the worker's own.
        """
        if self.alive:
            raise StartError(f"the server is already running as {self.pids!r}; stop() or kill() it first")
        listener = bind(self.port)
        self.port = listener.getsockname()[1]
        ports_served.add(self.port)
        # the parent closes its copy, so that after a kill -9 clients are refused instead of waiting in the backlog
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
        """Send SIGTERM, which drains and closes with 1012, and SIGKILL after 2 s; do nothing if already stopped."""
        for child in self._children:
            if child.poll() is None:
                child.terminate()
        self._reap(STOP_DEADLINE)

    def kill(self) -> None:
        """Send SIGKILL to every worker (``kill -9``), which then sends no close frame and does no clean-up."""
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
        # on POSIX the child inherits the socket; a new session keeps it from being interrupted with the notebook's cell
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
        order = {
            "app": self.app,
            "options": self._options,
            "listener": _share(listener, child.pid),
            "parent": os.getpid(),
        }
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
    """Serve ``"module:app"`` on 127.0.0.1 from child processes, and return when all of them accept.

    `workers` processes share the port; the system gives each new connection to one of them.
    Further options go to `uvicorn.Config` and must be JSON values. When a notebook's cell is
    run again, what its last run started is stopped first.

    Raises:
        StartError: the app can't be imported, the port is taken, or the lifespan failed.
    """
    stop_earlier_run()
    server = ServerProcess(app, port=port, workers=workers, **options)
    server.start()
    return server


def child() -> None:
    """Run in the child: serve until SIGTERM, or until the parent has ended."""
    # send the app's prints to stderr, because the parent waits for one line on standard output
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    config = json.loads(sys.stdin.readline())
    try:
        server = BackgroundServer(
            config["app"], listener=_shared(config["listener"]), **({"log_config": LOGGING_CONFIG} | config["options"])
        )
        server.start()
    except ServerError as error:
        print(" ".join(str(error).split()), file=answer, flush=True)
        sys.exit(1)
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    threading.Thread(target=_set_at_eof, args=(stopped,), daemon=True).start()
    print("ready", file=answer, flush=True)
    # if the parent has forked, the fork keeps the other end of our standard input open
    while not stopped.wait(PARENT_CHECK) and _runs_under(config["parent"]):
        pass
    server.stop()


def _set_at_eof(stopped: threading.Event) -> None:
    sys.stdin.read()
    stopped.set()


def _runs_under(parent: int) -> bool:
    """Return whether the parent is still running; on Windows, which has no fork, always True."""
    return os.name != "posix" or os.getppid() == parent


def _share(listener: socket.socket, pid: int) -> str:
    if sys.platform == "win32":
        return base64.b64encode(listener.share(pid)).decode()
    return str(listener.fileno())


def _shared(listener: str) -> socket.socket:
    if sys.platform == "win32":
        return socket.fromshare(base64.b64decode(listener))
    return socket.socket(fileno=int(listener))
