"""``python -m server``: the whole backend, on a file of its own or on an engine for many processes.

``python -m server token`` prints a token for it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

import uvicorn

from .app import create_app
from .classroom.start import hold_class
from .command import parse
from .descriptors import raise_descriptors
from .errors import ServerError
from .token_command import token

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; the exit status: 0 after a drain, 1 when it could not start."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if arguments[:1] == ["token"]:
            print(token(arguments[1:]))  # noqa: T201
            return 0
        command = parse(arguments)
        app = create_app(command)  # also where it is only to find what is wrong, before any worker does
        raise_descriptors(command.connections)
        # uvicorn drains, and then raises the signal again, which would end the process as if it had not
        signal.signal(signal.SIGTERM, _nothing)
        if command.classroom:
            hold_class(app, command)
        elif command.workers == 1:
            uvicorn.run(app, **command.server_options)
        else:
            os.environ.update(command.environment)
            uvicorn.run("server.app:create_app", factory=True, **command.server_options)
    except ServerError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        pass
    return 0


def _nothing(number: int, frame: FrameType | None) -> None:
    """Take a signal."""


if __name__ == "__main__":
    sys.exit(main())
