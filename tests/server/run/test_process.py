"""`serve_process("module:app")`: several workers, kill -9, and nothing that outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from server import StartError, serve_process

APP = """
import asyncio, os
from fastapi import FastAPI, WebSocket

print("imported")
app = FastAPI()

@app.websocket("/pid")
async def pid(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(str(os.getpid()))
    async for text in websocket.iter_text():
        await websocket.send_text(text)

@app.websocket("/stuck")
async def stuck(websocket: WebSocket) -> None:
    await websocket.accept()
    await asyncio.Event().wait()
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An importable app that tells which process answers."""
    (tmp_path / "sample_app.py").write_text(APP)
    (tmp_path / "broken_app.py").write_text("import no_such_module\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "sample_app:app"


def pid_of(url: str) -> int:
    """Which process answers at this address."""
    with connect(url) as websocket:
        return int(websocket.recv(timeout=15))


def test_serves_from_another_process(app: str) -> None:
    """The process that answers is the child, and what it prints is in the log."""
    with serve_process(app) as server:
        assert pid_of(server.url("/pid")) == server.pids[0] != os.getpid()
        assert "imported" in server.log
    assert server.pids == ()


def test_workers_share_one_port(app: str) -> None:
    """Three workers answer on one port, each from another process."""
    with serve_process(app, workers=3) as server:
        assert len(set(server.pids)) == 3
        assert {pid_of(server.url("/pid")) for _ in range(10)} <= set(server.pids)


def test_kill_gives_the_client_no_close_frame(app: str) -> None:
    """After kill -9 the client sees 1006 and the port refuses at once."""
    server = serve_process(app)
    with connect(server.url("/pid")) as websocket:
        websocket.recv(timeout=15)
        [pid] = server.pids
        server.kill()
        with pytest.raises(ConnectionClosedError) as closed:
            websocket.recv(timeout=15)
        assert closed.value.rcvd is None
        assert websocket.close_code == 1006
    assert not psutil.pid_exists(pid)
    with pytest.raises(ConnectionRefusedError), connect(server.url("/pid")):
        pass


def test_restart_keeps_the_address(app: str) -> None:
    """A client that only knows the address reaches the next process."""
    server = serve_process(app)
    url, first = server.url("/pid"), pid_of(server.url("/pid"))
    server.kill()
    server.restart()
    assert server.url("/pid") == url
    assert pid_of(url) != first
    server.stop()


def test_stop_says_1012_even_to_the_client_of_a_stuck_handler(app: str) -> None:
    """SIGTERM drains: clients see the service restart, and a stuck handler does not hold it up."""
    server = serve_process(app)
    with connect(server.url("/stuck")) as websocket:
        stopper = threading.Thread(target=server.stop)
        stopper.start()
        with pytest.raises(ConnectionClosedError):
            websocket.recv(timeout=15)
        stopper.join(30)
        assert websocket.close_code == 1012
    server.stop()
    assert not server.alive


def test_start_twice_is_refused(app: str) -> None:
    """A running server is not started over itself."""
    with (
        serve_process(app) as server,
        pytest.raises(StartError, match=r"already running as .*stop\(\) or kill\(\) it first"),
    ):
        server.start()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("broken_app:app", "cannot import 'broken_app:app': ModuleNotFoundError: No module named 'no_such_module'"),
        ("no_such_app:app", 'Could not import module "no_such_app"'),
        ("sample_app:nothing", 'Attribute "nothing" not found in module "sample_app"'),
    ],
)
def test_failure_of_the_child_is_one_sentence(app: str, target: str, message: str) -> None:
    """What went wrong in the child is the parent's error, and no child is left."""
    before = set(psutil.Process().children())  # of other tests' fixtures
    with pytest.raises(StartError) as raised:
        serve_process(target)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    left = set(psutil.Process().children()) - before
    assert [child for child in left if child.status() != psutil.STATUS_ZOMBIE] == []


@pytest.mark.parametrize("target", ["sample_app", None])
def test_object_instead_of_a_name_is_refused(target: str) -> None:
    """An app object cannot cross to another process; the error says what can."""
    with pytest.raises(StartError, match="needs 'module:attribute', got"):
        serve_process(target)


def test_no_workers_is_refused(app: str) -> None:
    """The number of workers is checked before anything starts."""
    with pytest.raises(StartError, match="workers must be 1 or more, got 0"):
        serve_process(app, workers=0)


def test_taken_port_is_refused(app: str) -> None:
    """The port of a running server is named with the remedy."""
    with serve_process(app) as server, pytest.raises(StartError, match=rf"port {server.port} .*pass port=0"):
        serve_process(app, port=server.port)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL and fork are POSIX")
@pytest.mark.parametrize("fork", ["", "if not os.fork(): time.sleep(60)"], ids=["alone", "forked"])
def test_child_ends_when_its_parent_is_killed(app: str, fork: str) -> None:
    """A kernel that is killed with -9 leaves no server behind, even if a fork of it lives on and holds its pipes."""
    script = f"""
        import os, sys, time
        from server import serve_process
        child = serve_process({app!r}).pids[0]
        {fork}
        print(child, flush=True)
        sys.stdin.read()
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    forks = [other for other in psutil.Process(parent.pid).children() if other != child]
    assert len(forks) == bool(fork)
    os.kill(parent.pid, signal.SIGKILL)
    try:
        parent.wait(30)
        psutil.wait_procs([child], timeout=100)
        assert not child.is_running()
    finally:
        for one in (child, *forks):
            with suppress(psutil.NoSuchProcess):
                one.kill()
        parent.communicate(timeout=100)
