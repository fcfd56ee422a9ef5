"""A tap starts, stops, says where it is, and waits."""

from __future__ import annotations

import gc
import socket
import subprocess
import sys
import textwrap
import threading

import psutil
import pytest
from lab.tap.tap import Tap

from server.run.registry import Cell
from server.testing.fault_proxy import ports_tapped, running
from tests.lab.tap.ends import HOST, Ends


def test_stop_ends_open_connections_and_leaves_nothing(listener: socket.socket) -> None:
    """Both ends are closed, the thread is gone and so is every socket; twice is harmless."""
    gc.collect()
    process = psutil.Process()
    before = process.num_fds()
    tap = Tap(listener.getsockname()).start()
    assert f"tap-{tap.port}" in [thread.name for thread in threading.enumerate()]
    ends = [Ends(tap, listener) for _ in range(5)]
    tap.stall()
    tap.stop()
    tap.stop()
    for one in ends:
        assert one.client.recv(1) == b""
        assert one.server.recv(1) == b""
        one.close()
    assert {conversation.outcome for conversation in tap.conversations} == {"stopped"}
    assert not tap.alive
    assert f"tap-{tap.port}" not in [thread.name for thread in threading.enumerate()]
    assert process.num_fds() <= before


def test_stop_waits_for_an_end_that_has_begun(listener: socket.socket) -> None:
    """Both ends have closed when the tap is stopped, so the connection counts as closed, not as cut off."""
    for _ in range(20):
        with Tap(listener.getsockname()) as tap:
            ends = Ends(tap, listener)
            ends.close()
        assert tap.conversations[0].outcome == "closed"


def test_registry_lists_running_taps_and_every_port(listener: socket.socket) -> None:
    """leftovers() finds the taps that run, and knows the ports of those that have."""
    before = running()
    with Tap(listener.getsockname()) as tap:
        assert running() == (*before, tap)
    assert running() == before
    assert tap.port in ports_tapped


def test_second_run_of_a_cell_stops_the_tap_of_the_first(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cell that makes a tap can be run again without leaving one behind."""
    monkeypatch.setattr("server.run.registry.this_cell", lambda: Cell("a", "first"))
    first = Tap(listener.getsockname()).start()
    same_run = Tap(listener.getsockname()).start()
    assert first.alive
    monkeypatch.setattr("server.run.registry.this_cell", lambda: Cell("a", "second"))
    with Tap(listener.getsockname()):
        assert not first.alive
        assert not same_run.alive


def test_tap_says_when_it_does_not_run(listener: socket.socket) -> None:
    """Before start() and after stop() a tap names the remedy instead of hanging."""
    tap = Tap(listener.getsockname())
    with pytest.raises(RuntimeError, match="does not listen yet; use `with Tap"):
        tap.url()
    tap.start().stop()
    with pytest.raises(RuntimeError, match="the tap is stopped; make a new one"):
        tap.cut()


@pytest.mark.parametrize(
    ("target", "url", "http"),
    [
        (4321, "ws", "http"),
        ("127.0.0.1:4321", "ws", "http"),
        ("localhost:4321", "ws", "http"),
        (("127.0.0.1", 4321), "ws", "http"),
        ("ws://127.0.0.1:4321/ws?a=b", "ws", "http"),
        ("https://127.0.0.1:4321", "wss", "https"),
        ("wss://127.0.0.1", "wss", "https"),
    ],
)
def test_address_keeps_the_scheme_of_the_target(target: int | str | tuple[str, int], url: str, http: str) -> None:
    """A port, an address or a URL names the target; only the port of the address changes."""
    with Tap(target) as tap:
        assert tap.url("/a?b=c") == f"{url}://127.0.0.1:{tap.port}/a?b=c"
        assert tap.http("a") == f"{http}://127.0.0.1:{tap.port}/a"


@pytest.mark.parametrize(
    "target", ["", "nonsense", "127.0.0.1", "ws://h:x", None, True, 70_000, ("127.0.0.1",), object()]
)
def test_target_that_is_none_is_refused_with_the_remedy(target: object) -> None:
    """Whatever is no target is named in the error, together with what is one."""
    with pytest.raises(ValueError, match=r"cannot tap .*; pass"):
        Tap(target)  # type: ignore[arg-type]


# waiting


def test_wait_returns_what_the_predicate_returned(ends: Ends) -> None:
    """It wakes up when something crosses the tap, and hands back what was found."""
    threading.Timer(0.05, lambda: ends.client.sendall(b"news")).start()
    assert ends.tap.wait(lambda tap: tap.bytes_up and f"{tap.bytes_up} bytes") == "4 bytes"


def test_wait_that_is_in_vain_says_what_the_tap_saw(ends: Ends) -> None:
    """The error names the time and what was seen instead."""
    with pytest.raises(TimeoutError, match=r"not true within 0.1 s; the tap saw 1 connection, 0 requests, 0 frames"):
        ends.tap.wait(lambda tap: tap.frames, timeout=0.1)


def test_predicate_may_ask_for_what_is_not_there_yet(listener: socket.socket) -> None:
    """The first conversation can be waited for by its index."""
    with Tap(listener.getsockname()) as tap:
        threading.Timer(0.05, lambda: socket.create_connection((HOST, tap.port)).close()).start()
        assert tap.wait(lambda tap: tap.conversations[0]).number == 1
        listener.accept()[0].close()


def test_predicate_may_use_the_tap(ends: Ends) -> None:
    """A predicate that asks the tap's own thread for something does not block it."""
    ends.client.sendall(b"x")
    assert ends.tap.wait(lambda tap: len(tap.conversations[0].transcript()) == 2, timeout=15)


def test_tap_works_with_nest_asyncio() -> None:
    """nest-asyncio patches the loop of the whole process; the tap's own goes on."""
    script = """
        import asyncio, nest_asyncio
        nest_asyncio.apply()
        from fastapi import FastAPI, WebSocket
        from lab.tap.tap import Tap
        from server import serve
        from websockets.asyncio.client import connect
        app = FastAPI()

        @app.websocket("/ws")
        async def handler(websocket: WebSocket):
            await websocket.accept()
            await websocket.send_text("hello")
            await websocket.close()

        async def main():
            with serve(app) as server, Tap(server) as tap:
                for _ in range(3):
                    async with connect(tap.url("/ws")) as client:
                        assert await client.recv() == "hello"
                tap.reset()
                print(len(tap.frames))

        asyncio.run(main())
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (done.stdout, done.stderr) == ("9\n", "")
