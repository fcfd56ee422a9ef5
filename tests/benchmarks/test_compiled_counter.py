"""The load client's loop in C: what it reads, and what it says when a connection ends."""

from __future__ import annotations

import select
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from websockets.frames import Close, Frame, Opcode

from benchmarks import client
from benchmarks.compiled_counter import COMPILERS, CompiledCounter, CompiledReader
from benchmarks.fanout import measure_capacity
from benchmarks.frame_counter import FrameCounter

# by what the machine has, and not by `is_compiled`: a counter.c that can't be built must fail here
can_build = sys.platform == "linux" and any(map(shutil.which, COMPILERS))
pytestmark = pytest.mark.skipif(not can_build, reason="there is no C compiler, or no epoll")

DEADLINE = 3.0
TEXT = Frame(Opcode.TEXT, b"x" * 128).serialize(mask=False)


class Pairs:
    """Two connections whose near ends are read."""

    def __init__(self, stack: ExitStack) -> None:
        pairs = [[stack.enter_context(end) for end in socket.socketpair()] for _ in range(2)]
        self.far = [far for _, far in pairs]
        self.counters = {near.fileno(): CompiledCounter() for near, _ in pairs}
        self._epoll = stack.enter_context(select.epoll())
        for descriptor in self.counters:
            self._epoll.register(descriptor, select.EPOLLIN)
        self.reader = CompiledReader(self._epoll.fileno(), self.counters)

    @property
    def messages(self) -> list[int]:
        """What each connection has received."""
        return [counter.messages for counter in self.counters.values()]


@pytest.fixture
def pairs() -> Iterator[Pairs]:
    """Two connections, closed at the end."""
    with ExitStack() as stack:
        yield Pairs(stack)


def test_a_client_counts_in_c() -> None:
    """Where there is a compiler, the program can be built."""
    assert isinstance(client.new_counter(), CompiledCounter)


def test_what_comes_is_counted_for_its_connection(pairs: Pairs) -> None:
    """Each has its own count, and the slowest is the one with the fewest."""
    pairs.far[0].sendall(TEXT * 3)
    assert pairs.reader.read(DEADLINE) == 1
    assert (pairs.messages, pairs.reader.slowest) == ([3, 0], 0)
    pairs.far[1].sendall(TEXT * 2)
    assert pairs.reader.read(DEADLINE) == 1
    assert (pairs.messages, pairs.reader.slowest) == ([3, 2], 2)
    pairs.far[1].sendall(TEXT * 2)
    pairs.reader.read(DEADLINE)
    assert (pairs.messages, pairs.reader.slowest) == ([3, 4], 3)


def test_nothing_comes_and_the_wait_ends(pairs: Pairs) -> None:
    """A time without a byte is no error."""
    assert pairs.reader.read(0.01) == 0


def test_a_close_frame_is_an_error(pairs: Pairs) -> None:
    """The server says goodbye, so there is nobody left to count for."""
    pairs.far[0].sendall(TEXT + Frame(Opcode.CLOSE, Close(1000, "").serialize()).serialize(mask=False))
    with pytest.raises(ConnectionAbortedError, match="has closed"):
        pairs.reader.read(DEADLINE)


def test_a_connection_that_just_ends_is_an_error(pairs: Pairs) -> None:
    """What came before the end is counted."""
    pairs.far[0].sendall(TEXT)
    pairs.far[0].close()
    assert pairs.reader.read(DEADLINE) == 1
    with pytest.raises(ConnectionAbortedError, match="has closed"):
        pairs.reader.read(DEADLINE)
    assert pairs.messages == [1, 0]


def test_a_masked_frame_is_an_error(pairs: Pairs) -> None:
    """The stream is out of step, so counting on would be a guess."""
    pairs.far[0].sendall(Frame(Opcode.TEXT, b"x").serialize(mask=True))
    with pytest.raises(ValueError, match="masked"):
        pairs.reader.read(DEADLINE)


def test_python_counts_where_there_is_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same measurement, without the library."""
    monkeypatch.setattr(client, "is_compiled", lambda: False)
    assert isinstance(client.new_counter(), FrameCounter)
    assert measure_capacity(20, 5, 0.05).rate > 0
