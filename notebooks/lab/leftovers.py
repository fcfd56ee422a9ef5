"""What a lesson has left behind: for its last cell, which asserts that this is nothing.

What the process had when this module was imported is not counted, nor is what belongs to the
notebook's kernel.
"""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import psutil

from server.cell import entered

__all__ = ["Leftovers", "leftovers"]

SHOWN = 4  # items of each kind that are named

# packages whose tasks belong to the kernel
_KERNEL = tuple(f"{os.sep}{name}{os.sep}" for name in ("ipykernel", "IPython", "tornado", "zmq", "jupyter_client"))
# threads that idle in a pool until the process ends
_POOLS = ("asyncio_", "ThreadPoolExecutor-", "AnyIO worker")


@dataclass(frozen=True)
class Leftovers:
    """What is left, in words; true when anything is."""

    servers: tuple[str, ...] = ()
    """Servers, taps, crowds and processes that were started and not stopped."""
    threads: tuple[str, ...] = ()
    """Threads that still run, by name."""
    sockets: tuple[str, ...] = ()
    """TCP sockets of this process, as ``local -> remote state``."""
    tasks: tuple[str, ...] = ()
    """Tasks on the loop that runs in this thread, by the coroutine that they run."""
    processes: tuple[str, ...] = ()
    """Child processes, by name."""

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))

    def __str__(self) -> str:
        if not self:
            return "nothing is left: no server, no thread, no socket, no task"
        left = ((field.name, getattr(self, field.name)) for field in fields(self))
        return "left: " + "; ".join(f"{name}: {_some(items)}" for name, items in left if items)

    __repr__ = __str__


def _some(items: tuple[str, ...]) -> str:
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more


class _Baseline(NamedTuple):
    """What was there before the lesson."""

    threads: frozenset[threading.Thread]
    connections: frozenset[tuple[Any, Any]]
    listening: frozenset[int]
    children: frozenset[int]


def leftovers(*, timeout: float = 2.0) -> Leftovers:
    """What the lesson has left, after at most `timeout` seconds for what is just ending.

    Tasks cannot end while this function waits, as it keeps their loop: await them before.
    """
    gc.collect()
    deadline = time.monotonic() + timeout
    while (left := _look()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return left


def _look() -> Leftovers:
    return Leftovers(
        servers=tuple(sorted(repr(thing) for thing in entered(object))),  # type: ignore[type-var]
        threads=tuple(sorted(_threads())),
        sockets=tuple(sorted(_sockets())),
        tasks=tuple(sorted(_tasks())),
        processes=tuple(sorted(_processes())),
    )


def _threads() -> Iterator[str]:
    for thread in threading.enumerate():
        # JupyterLab lets the kernel start threads for the messages of widgets at any time, and pyzmq one for large ones
        of_kernel = type(thread).__module__.startswith(("ipykernel", "zmq"))
        if thread not in _baseline.threads and not of_kernel and not thread.name.startswith(_POOLS):
            yield thread.name


def _sockets() -> Iterator[str]:
    for one in _connections():
        # a front end may connect to the kernel's own ports at any time
        if (one.laddr, one.raddr) not in _baseline.connections and one.laddr.port not in _baseline.listening:
            remote = f" -> port {one.raddr.port}" if one.raddr else ""
            yield f"port {one.laddr.port}{remote} {one.status}"


def _tasks() -> Iterator[str]:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    for task in asyncio.all_tasks(loop) - {asyncio.current_task(loop)}:
        code = getattr(task.get_coro(), "cr_code", None)
        if code is not None and not any(package in code.co_filename for package in _KERNEL):
            yield code.co_qualname


def _processes() -> Iterator[str]:
    for child in psutil.Process().children():
        if child.pid not in _baseline.children:
            yield child.name()


def _connections() -> list[Any]:
    # a connection whose socket is closed already (TIME_WAIT) is the operating system's: psutil leaves it out
    return list(psutil.Process().net_connections("tcp"))


def _take_baseline() -> _Baseline:
    connections = _connections()
    return _Baseline(
        frozenset(threading.enumerate()),
        frozenset((one.laddr, one.raddr) for one in connections),
        frozenset(one.laddr.port for one in connections if one.status == psutil.CONN_LISTEN),
        frozenset(child.pid for child in psutil.Process().children()),
    )


_baseline = _take_baseline()
