"""``python -m server``: the whole backend, with a SQLite file, or with Valkey for several processes.

``python -m server token`` prints a token for it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from .app import create_app
from .errors import ServerError
from .run.cli import Command, parse
from .run.file_limits import raise_file_limit
from .run.server import ListeningServer, log_addresses
from .run.sockets import listen
from .run.token_command import token

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status: 0 after a drain, 1 if it could not start."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if arguments[:1] == ["token"]:
            print(token(arguments[1:]))  # noqa: T201
            return 0
        _serve(parse(arguments))
    except ServerError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        pass
    return 0


class _Supervisor(Multiprocess):
    """uvicorn's, which also sees it at once when a worker ends while it is asked whether it lives.

    The answer comes through a pipe. With the worker's end of it open in this process as well, the wait for an answer
    would go on until ``timeout_worker_healthcheck``, also for a worker that cannot start.
    """

    def init_processes(self) -> None:
        """Start the workers."""
        super().init_processes()
        self._leave_pipes_to_workers()

    def keep_subprocess_alive(self) -> None:
        """Replace workers that have ended or hang; stop if one cannot start."""
        super().keep_subprocess_alive()
        self._leave_pipes_to_workers()

    def _leave_pipes_to_workers(self) -> None:
        for worker in self.processes:
            worker.child_conn.close()


def _serve(command: Command) -> None:
    # uvicorn drains, and then raises the signal again; without this handler the exit status would be -15, and not 0.
    # A signal that comes before uvicorn has installed its own handlers ends the process at once
    signal.signal(signal.SIGTERM, _exit)
    app = create_app(command)  # with several workers only to find mistakes before they start
    raise_file_limit(command.connections)
    sockets = listen(command.host, command.port)
    if command.workers > 1:
        os.environ.update(command.environment)
        config = uvicorn.Config("server.app.worker:create_worker", factory=True, **command.server_options)
        log_addresses(config, sockets)
        supervisor = _Supervisor(config, sockets)
        supervisor.run()
        if any(worker.exitcode == STARTUP_FAILURE for worker in supervisor.processes):
            sys.exit(STARTUP_FAILURE)
        return
    config = uvicorn.Config(app, **command.server_options)
    if command.classroom:
        from .app.classroom.serve import ClassroomServer  # noqa: PLC0415  # not needed without a classroom

        server: ListeningServer = ClassroomServer(config, app)
    else:
        server = ListeningServer(config)
    server.run(sockets)
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def _exit(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
