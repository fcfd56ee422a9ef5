"""The last cell of a lesson finds what still runs, and only that."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading

import pytest
from fastapi import FastAPI
from ipykernel.thread import BaseThread
from lab.observe.leftovers import Leftovers, leftovers
from zmq.utils.garbage import GarbageCollector

from server import serve

module = sys.modules[leftovers.__module__]  # `lab.leftovers` names the function
NOTHING = "nothing is left: no server, no thread, no socket, no task"


@pytest.fixture(autouse=True)
def fresh_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests of this process have left is no business of these."""
    monkeypatch.setattr(module, "baseline", module.take_baseline())


def test_leftovers_are_nothing_when_all_is_stopped() -> None:
    """A lesson that stops its server passes, and says so in a line that never changes."""
    serve(FastAPI()).stop()
    assert not leftovers()
    assert str(leftovers()) == repr(leftovers()) == NOTHING


def test_leftovers_name_a_running_server() -> None:
    """A server that was not stopped is found, with its thread and its socket."""
    with serve(FastAPI()) as server:
        left = leftovers(timeout=0)
        assert left.servers == ("<BackgroundServer running>",)
        assert left.threads == (f"server-{server.port}",)
        assert left.sockets == (f"port {server.port} LISTEN",)
        assert str(left).startswith("left: servers: <BackgroundServer running>; threads: server-")


def test_leftovers_name_a_socket() -> None:
    """A connection that was not closed is found, on any port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            listening, connected = f"port {port} LISTEN", f"-> port {port} ESTABLISHED"
            left = leftovers(timeout=0).sockets
    assert listening in left
    assert any(one.endswith(connected) for one in left)


def test_leftovers_leave_out_connections_to_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """A front end that connects to a port which was open before the lesson is not the lesson's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setattr(module, "baseline", module.take_baseline())
        with socket.create_connection(listener.getsockname()), listener.accept()[0]:
            left = leftovers(timeout=0).sockets
    assert not any(one.startswith(f"port {listener}") for one in left)
    assert len(left) == 1  # the client's end, which would be in another process


def test_leftovers_name_a_task() -> None:
    """A task on the notebook's loop that was neither awaited nor cancelled is found."""

    async def forgotten() -> None:
        await asyncio.Event().wait()

    async def cell() -> Leftovers:
        task = asyncio.create_task(forgotten())
        await asyncio.sleep(0)
        left = leftovers(timeout=0)
        task.cancel()
        await asyncio.wait([task])
        assert not leftovers()
        return left

    left = asyncio.run(cell())
    assert left.tasks == ("test_leftovers_name_a_task.<locals>.forgotten",)


def test_leftovers_name_a_child_process() -> None:
    """A process that the lesson started and did not end is found."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert len(leftovers(timeout=0).processes) == 1
    finally:
        child.communicate(b"\n", timeout=100)
    assert not leftovers()


def test_leftovers_wait_for_what_is_just_ending() -> None:
    """A thread that ends in a moment is no leftover; one that goes on is, by name."""
    go_on = threading.Event()
    thread = threading.Thread(target=go_on.wait, name="forgotten")
    thread.start()
    assert leftovers(timeout=0.05).threads == ("forgotten",)
    threading.Timer(0.05, go_on.set).start()
    assert not leftovers()
    thread.join()


def test_leftovers_leave_out_threads_of_the_kernel() -> None:
    """A thread that JupyterLab had the kernel start for a widget's messages is not the lesson's."""
    thread = BaseThread(name="subshell-1")  # type: ignore[no-untyped-call]
    thread.start()
    try:
        assert not leftovers(timeout=0).threads
    finally:
        thread.stop()
        thread.join(30)


def test_leftovers_leave_out_threads_of_pyzmq() -> None:
    """Nor is the one that frees large messages: a page that is opened again asks the kernel for all of a widget."""
    freeing = GarbageCollector()
    freeing.start()
    try:
        assert freeing.thread in threading.enumerate()
        assert not leftovers(timeout=0).threads
    finally:
        freeing.stop()


def test_leftovers_show_the_first_of_many() -> None:
    """The line stays readable when a whole crowd is left."""
    assert str(Leftovers(sockets=("a", "b", "c", "d", "e", "f"))) == "left: sockets: a, b, c, d and 2 more"
