"""The loop of the load client in C, where there is a compiler: it takes less of the client's core than Python's.

`counter.c` is built once in each process, in a temporary folder. Where that isn't possible, the load client counts
with `FrameCounter`; the table of a benchmark says which of them has counted.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import ClassVar

__all__ = ["CompiledCounter", "CompiledReader", "is_compiled"]

SOURCE = Path(__file__).with_name("counter.c")
COMPILERS = ("cc", "gcc", "clang")
BUILD_TIMEOUT = 60.0  # seconds
BUFFER = 1 << 16  # bytes read at a time
MASKED, DROPPED, CLOSED, NO_EPOLL = -1, -2, -3, -4  # the errors of counter.c


class CompiledCounter(ctypes.Structure):
    """What one connection has received so far, like a `FrameCounter`; the fields are those of ``struct counter``."""

    _fields_: ClassVar = [
        ("smallest", ctypes.c_int64),
        ("messages", ctypes.c_int64),
        ("size", ctypes.c_int64),
        ("pings", ctypes.c_int64),
        ("_length", ctypes.c_int64),
        ("_left", ctypes.c_int64),
        ("closed", ctypes.c_bool),
        ("_held", ctypes.c_uint8),
        ("_head", ctypes.c_uint8 * 10),
    ]

    smallest: int
    messages: int
    size: int
    pings: int
    closed: bool

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the stream.

        Raises:
            ValueError: a frame from a server is masked; the stream is no WebSocket's, or out of step.
        """
        _check(_library().counter_feed(ctypes.byref(self), data, len(data)))


class CompiledReader:
    """Reads what comes on the connections of an epoll, each with its counter."""

    def __init__(self, epoll: int, counters: Mapping[int, CompiledCounter]) -> None:
        """Take the descriptor of an epoll, and the counter of each descriptor that is registered with it."""
        pointers = {descriptor: ctypes.pointer(counter) for descriptor, counter in counters.items()}
        pointer = ctypes.POINTER(CompiledCounter)
        self._epoll = epoll
        self._all = (pointer * len(pointers))(*pointers.values())
        self._by_descriptor = (pointer * (max(pointers, default=0) + 1))()
        for descriptor, each in pointers.items():
            self._by_descriptor[descriptor] = each
        self._behind = ctypes.c_int64(0)
        self._buffer = (ctypes.c_uint8 * BUFFER)()
        self.slowest = 0
        """Messages that every connection has."""
        self._find_slowest()

    def read(self, timeout: float) -> int:
        """Wait up to so many seconds, and read what has come; return on how many connections something came.

        Raises:
            ConnectionError: the server has closed or dropped a connection.
            ValueError: a frame from the server is masked.
        """
        number: int = _library().counter_read(
            self._epoll,
            self._by_descriptor,
            int(timeout * 1000),
            self.slowest,
            ctypes.byref(self._behind),
            self._buffer,
            BUFFER,
        )
        _check(number)
        if not self._behind.value:
            self._find_slowest()
        return number

    def _find_slowest(self) -> None:
        self.slowest = _library().counter_slowest(self._all, len(self._all), ctypes.byref(self._behind))


@cache
def is_compiled() -> bool:
    """Whether counter.c could be built here."""
    if sys.platform != "linux":
        return False
    try:
        _library()
    except (OSError, subprocess.SubprocessError):
        return False
    return True


@cache
def _library() -> ctypes.CDLL:
    compiler = next(filter(shutil.which, COMPILERS), None)
    if compiler is None:
        raise FileNotFoundError(f"there is no C compiler; install one of {', '.join(COMPILERS)}")
    with tempfile.TemporaryDirectory(prefix="load-client-") as folder:
        built = str(Path(folder, "counter.so"))
        command = [compiler, "-O2", "-shared", "-fPIC", "-o", built, str(SOURCE)]
        subprocess.run(command, check=True, capture_output=True, timeout=BUILD_TIMEOUT)
        library = ctypes.CDLL(built)  # it stays loaded when its file is gone
    pointer = ctypes.POINTER(CompiledCounter)
    number = ctypes.c_int64
    library.counter_feed.argtypes = [pointer, ctypes.c_char_p, number]
    library.counter_slowest.argtypes = [ctypes.POINTER(pointer), number, ctypes.POINTER(number)]
    library.counter_slowest.restype = number
    library.counter_read.argtypes = [
        ctypes.c_int,
        ctypes.POINTER(pointer),
        ctypes.c_int,
        number,
        ctypes.POINTER(number),
        ctypes.POINTER(ctypes.c_uint8),
        number,
    ]
    return library


def _check(result: int) -> None:
    if result == MASKED:
        raise ValueError("a server has masked its frame; out of step?")
    if result == DROPPED:
        raise ConnectionResetError("the server has dropped a connection")
    if result == CLOSED:
        raise ConnectionAbortedError("the server has closed a connection")
    if result == NO_EPOLL:
        raise OSError("epoll_wait has failed")
