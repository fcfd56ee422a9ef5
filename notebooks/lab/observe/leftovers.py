"""Find what a lesson has left behind; its last cell asserts that this is nothing.

What the process had when this module was imported is not counted, nor is what belongs to the
notebook's kernel.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import psutil

from server.run.registry import entered

from .origin import package_of

__all__ = ["Leftovers", "leftovers"]

SHOWN = 4  # items of each kind that are named

# packages whose tasks belong to the kernel
_KERNEL = ("ipykernel", "IPython", "tornado", "zmq", "jupyter_client")
# threads that idle in a pool until the process ends
_POOLS = ("asyncio_", "ThreadPoolExecutor-", "AnyIO worker")


@dataclass(frozen=True)
class Leftovers:
    """What is left, by name; true when there is anything."""

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
    """What the process had before the lesson."""

    threads: frozenset[threading.Thread]
    connections: frozenset[tuple[Any, Any]]
    listening: frozenset[int]
    children: frozenset[int]


def leftovers(*, timeout: float = 2.0) -> Leftovers:
    """Return what the lesson has left running.

    Example: ``left = leftovers()``, then ``assert not left``.

    It waits at most `timeout` seconds for what is just ending. Tasks of the notebook's own loop can't end while
    this function waits, because it blocks that loop: await them first. Call `server.stop_all` before it.

    Returns:
        Servers, threads, sockets, tasks and processes; false when there are none.
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
        if thread not in baseline.threads and not of_kernel and not thread.name.startswith(_POOLS):
            yield thread.name


def _sockets() -> Iterator[str]:
    for one in _connections():
        # a front end may connect to the kernel's own ports at any time
        if (one.laddr, one.raddr) not in baseline.connections and one.laddr.port not in baseline.listening:
            remote = f" -> port {one.raddr.port}" if one.raddr else ""
            yield f"port {one.laddr.port}{remote} {one.status}"


def _tasks() -> Iterator[str]:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    for task in asyncio.all_tasks(loop) - {asyncio.current_task(loop)}:
        coroutine = task.get_coro()
        if (package := package_of(coroutine)) is not None and package not in _KERNEL:
            yield str(getattr(coroutine, "__qualname__", coroutine))


def _processes() -> Iterator[str]:
    for child in psutil.Process().children():
        if child.pid not in baseline.children:
            yield child.name()


def _connections() -> list[Any]:
    # a connection whose socket is closed already (TIME_WAIT) is the operating system's: psutil leaves it out
    return list(psutil.Process().net_connections("tcp"))


def take_baseline() -> _Baseline:
    """Return what the process has now."""
    connections = _connections()
    return _Baseline(
        frozenset(threading.enumerate()),
        frozenset((one.laddr, one.raddr) for one in connections),
        frozenset(one.laddr.port for one in connections if one.status == psutil.CONN_LISTEN),
        frozenset(child.pid for child in psutil.Process().children()),
    )


baseline = take_baseline()
