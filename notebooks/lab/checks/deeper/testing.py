"""The checks of the exercises in deeper/testing-faults: the answer is a test, and it has to be a good one.

The reader's test runs against servers that are right, where it must pass, and against servers with a bug, where it must
fail. It gets what the fixtures of `server.testing` give, with shorter deadlines.
"""

from __future__ import annotations

import importlib
import inspect
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from server import ServerError, serve
from server.testing.contexts import WebsocketTo, tapping, websockets_open

from ...observe.expect import one_line
from ...testing.buggy_rooms import FROZEN_BUGS, GHOST_BUGS, RIGHT_ROOMS, RoomKind, app_of
from ..verdict import NotYet, judged, reason_of, refuse_stub, stop_thread

__all__ = ["check_frozen_test", "check_ghost_test"]

PATIENT = 5.0  # seconds that a wait of the test may take on a server that is right
HASTY = 0.8  # the same on one with a bug, where it is to be in vain
LONGEST = 10.0  # seconds after which a test counts as one that hangs
ARGUMENTS = ["server", "websocket", "tap"]

_eventually: Any = importlib.import_module("server.testing.eventually")


@judged("it passes on the servers that are right, and it catches each of the four ghosts")
def check_ghost_test(test: Any) -> None:
    """Check ``test_no_ghost(server, websocket, tap)``: it fails if and only if a torn-down client stays listed."""
    _check(test, GHOST_BUGS)


@judged("it passes on the servers that are right, and it catches each of the three frozen rooms")
def check_frozen_test(test: Any) -> None:
    """Check ``test_not_frozen(server, websocket, tap)``: it fails if and only if one slow client stops the others."""
    _check(test, FROZEN_BUGS)


def _check(test: Any, bugs: Sequence[RoomKind]) -> None:
    refuse_stub(test)
    _refuse_signature(test)
    for run in _all(test, RIGHT_ROOMS, PATIENT):
        run.must_pass()
    for run in _all(test, bugs, HASTY):
        run.must_fail()


def _refuse_signature(test: Any) -> None:
    name = getattr(test, "__name__", "the test")
    if inspect.iscoroutinefunction(test):
        raise NotYet(f"{name} is an async function, which pytest doesn't run by itself; write `def`")
    arguments = list(inspect.signature(test).parameters)
    if arguments != ARGUMENTS:
        raise NotYet(f"{name} takes ({', '.join(arguments)}), expected ({', '.join(ARGUMENTS)})")


@dataclass
class _Run:
    """One run of the test, against one kind of room."""

    test: Any
    room: RoomKind
    errors: list[BaseException] = field(default_factory=list)
    hangs: bool = False
    connected: int = 0

    def play(self, deadline: float) -> None:
        """Run the test, in this thread."""
        try:
            with ExitStack() as stack:
                server = stack.enter_context(serve(app_of(self.room), ws_ping_interval=None))
                tap = stack.enter_context(tapping())
                websocket = stack.enter_context(websockets_open())
                self.test(server, self._counted(websocket, deadline), tap)
        except ServerError:
            pass  # the room itself could not be stopped; that says nothing about the test
        except BaseException as error:
            self.errors.append(error)

    def _counted(self, websocket: WebsocketTo, deadline: float) -> Any:
        def connect(*args: Any, **options: Any) -> Any:
            self.connected += 1
            return websocket(*args, **({"deadline": deadline} | options))

        return connect

    def must_pass(self) -> None:
        """Raise `NotYet` unless the test has passed."""
        if self.hangs:
            raise NotYet(f"your test doesn't end on a server that {self.room.is_}; give each wait a deadline")
        if self.errors:
            refuse_stub(self.test, self.errors[0])
            reason = reason_of(self.errors[0], self.test)
            raise NotYet(f"your test fails on a server that {self.room.is_}: {reason}{self.room.remedy}")
        if not self.connected:
            raise NotYet('your test passes, but nobody has connected in it; use `websocket(server, "/ws/ana")`')

    def must_fail(self) -> None:
        """Raise `NotYet` if the test has passed, or has hung."""
        if self.hangs:
            raise NotYet(f"your test doesn't end on a server that {self.room.is_}; give each wait a deadline")
        if not self.errors:
            raise NotYet(f"your test passes on a server that {self.room.is_}{self.room.remedy}")
        if not isinstance(self.errors[0], (AssertionError, TimeoutError, OSError)) and _is_mistake(self.errors[0]):
            raise NotYet(f"on a server that {self.room.is_} your test fails by a mistake: {one_line(self.errors[0])}")


def _is_mistake(error: BaseException) -> bool:
    return isinstance(error, (NameError, TypeError, AttributeError, SyntaxError))


def _all(test: Any, rooms: Sequence[RoomKind], deadline: float) -> list[_Run]:
    """Run the test against all rooms at once."""
    runs = [_Run(test, room) for room in rooms]
    threads = [threading.Thread(target=run.play, args=(deadline,), name="verdict", daemon=True) for run in runs]
    with _waits_of(deadline):
        for thread in threads:
            thread.start()
        for run, thread in zip(runs, threads, strict=True):
            thread.join(LONGEST)
            if thread.is_alive():
                run.hangs = True
                stop_thread(thread)
    return runs


@contextmanager
def _waits_of(seconds: float) -> Iterator[None]:
    """Let `eventually` wait for so long by default."""
    usual, _eventually.DEADLINE = _eventually.DEADLINE, seconds
    try:
        yield
    finally:
        _eventually.DEADLINE = usual
