"""The log of a background server: kept separate from other servers, and out of the notebook's cells."""

from __future__ import annotations

import logging
import sysconfig
import threading
import traceback
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Log", "Records", "keep_log"]

LENGTH = 1_000  # records kept for each server; the oldest are dropped

_LIBRARIES = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))

Records = deque[logging.LogRecord]

_by_thread: dict[int, Records] = {}


class Log(tuple[logging.LogRecord, ...]):
    """The records that a server has logged so far; its repr has one line per record, without times.

    The line of an exception names it, and where in your code it was raised.
    """

    def __str__(self) -> str:
        return "\n".join(f"{record.levelname:<8} {record.getMessage().strip()}{_raised(record)}" for record in self)

    __repr__ = __str__


def _raised(record: logging.LogRecord) -> str:
    """Return the exception of a record in one line, with the last line of code that is no library's; "" without one.

    Of a group of exceptions, take the first.
    """
    error = record.exc_info[1] if record.exc_info else None
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if error is None:
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_LIBRARIES)]
    where = f", in {own[-1].name}: {own[-1].line}" if own else ""
    return f": {type(error).__name__}: {' '.join(str(error).split())}{where}"


class _Router(logging.Handler):
    """Gives each record to the server in whose thread it was logged, and to no other."""

    def emit(self, record: logging.LogRecord) -> None:
        if (records := _by_thread.get(record.thread or 0)) is not None:
            records.append(record)


@contextmanager
def keep_log(records: Records) -> Iterator[None]:
    """Collect the records that uvicorn logs in this thread, for the length of the block.

    This also keeps `logging.lastResort` from writing into a notebook's cell.
    """
    logger = logging.getLogger("uvicorn")
    if not any(isinstance(handler, _Router) for handler in logger.handlers):
        logger.addHandler(_Router())
    _by_thread[threading.get_ident()] = records
    try:
        yield
    finally:
        del _by_thread[threading.get_ident()]
