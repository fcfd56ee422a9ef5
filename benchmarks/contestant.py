"""One server of a benchmark: a process of its own, on a core of its own, that ends whatever happens."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from typing import IO, Self

import psutil

__all__ = ["Contestant", "ContestantError", "cores"]

START_DEADLINE = 30.0  # seconds; a machine that is busy with something else takes a while
STOP_DEADLINE = 1.0  # seconds from the end of its standard input to SIGKILL
BACKLOG = 4096
MIB = 1 << 20


class ContestantError(Exception):
    """A server did not start, or has ended; the message is the last line of its standard error."""


@cache
def cores() -> tuple[int, int] | None:
    """One core for the server and another for the client, as they were at the first call; None where there is one."""
    free = sorted(os.sched_getaffinity(0))
    return (free[0], free[-1]) if len(free) > 1 else None


class Contestant:
    """A server process; a context manager that starts it, and ends it by its id.

    It gets the descriptor of a listening socket of 127.0.0.1 in place of ``{fd}``, prints a line when
    it is ready, and ends by itself when its standard input does, so it does not outlive the benchmark.
    """

    def __init__(
        self, command: Sequence[str], *, core: int | None, send_buffer: int | None = None, folder: str | None = None
    ) -> None:
        """Say what to run.

        Args:
            command: the program and its arguments.
            core: the only core that it runs on.
            send_buffer: bytes that the kernel buffers for each connection; by default the system's own idea.
            folder: the folder it runs in.
        """
        self._command = command
        self._core = core
        self._folder = folder
        self._listener = socket.socket()
        if send_buffer is not None:
            # an accepted connection inherits it
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed by stop()
        self.port = 0

    def __enter__(self) -> Self:
        try:
            self._listener.bind(("127.0.0.1", 0))
            self._listener.listen(BACKLOG)
            self.port = self._listener.getsockname()[1]
            self._process = self._spawn()
            self._listener.close()  # the server's copy is the only one: where it ends, clients are refused
            self._await_ready(self._process)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the process, and wait until it is gone."""
        self._listener.close()
        if self._process is not None:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.close()
            try:
                self._process.wait(STOP_DEADLINE)
            except BaseException:  # too slow, or interrupted: it has to go all the same
                self._process.kill()
                self._process.wait()
            self._process.stdout.close()
            self._process = None
        self._errors.close()

    @property
    def pid(self) -> int:
        """The id of the process.

        Raises:
            ContestantError: it has ended.
        """
        return self._running().pid

    # what it takes

    def resident(self) -> float:
        """MiB that the process holds in memory.

        Raises:
            ContestantError: it has ended.
        """
        return float(self._running().memory_info().rss / MIB)

    def worked(self) -> float:
        """Seconds that the process has run on its core.

        Raises:
            ContestantError: it has ended.
        """
        times = self._running().cpu_times()
        return float(times.user + times.system)

    def _running(self) -> psutil.Process:
        if self._process is None or self._process.poll() is not None:
            raise ContestantError(self.last_words)
        return psutil.Process(self._process.pid)

    # its start

    def _spawn(self) -> subprocess.Popen[bytes]:
        fd = self._listener.fileno()
        command = [part.replace("{fd}", str(fd)) for part in self._command]
        mine = os.sched_getaffinity(0)
        if self._core is not None:
            os.sched_setaffinity(0, {self._core})  # every thread of the child inherits it, those of Node too
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                cwd=self._folder,
                pass_fds=[fd],
                start_new_session=True,  # Ctrl-C is for the benchmark, which ends its children
            )
        finally:
            os.sched_setaffinity(0, mine)

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], START_DEADLINE)
        if not ready:
            raise ContestantError(f"{self._command!r} was not ready within {START_DEADLINE:g} s")
        if not process.stdout.readline():
            process.wait(STOP_DEADLINE)
            raise ContestantError(self.last_words)

    @property
    def last_words(self) -> str:
        """The last line that the process has written to its standard error."""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said no word"
