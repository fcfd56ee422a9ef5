"""A census counts each handler and task of a server once, and none that has ended."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import sysconfig
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket
from lab.observe.census import census
from websockets.sync.client import connect

from server import BackgroundServer, serve
from server.echo import Conversation, Echo, converse


def host(handler: Any) -> BackgroundServer:
    """Serve one handler on ``/ws``."""
    app = FastAPI()
    app.websocket("/ws")(handler)
    return serve(app)


async def echo(websocket: WebSocket) -> None:
    """A handler that ends with its client."""
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


async def ghost(websocket: WebSocket) -> None:
    """A handler that forgets its task."""
    await websocket.accept()
    websocket.app.state.task = asyncio.create_task(haunt())


async def haunt() -> None:
    """A task without an end."""
    await asyncio.Event().wait()


def test_each_handler_is_counted_while_its_client_is_there() -> None:
    """Handlers come and go with their clients, under the name of their function."""
    with host(echo) as server:
        assert str(census(server)) == "nobody"
        with connect(server.url("/ws")), connect(server.url("/ws")):
            assert census(server) == {"echo": 2}
            assert str(census(server)) == "2 echo"
        assert str(census(server)) == "nobody"
    assert str(census(server)) == "nobody"


def test_forgotten_task_is_counted() -> None:
    """A task that outlives its handler stays in the census, one for each client."""
    with host(ghost) as server:
        for count in (1, 2):
            with connect(server.url("/ws")):
                pass
            assert census(server) == {"haunt": count}


def test_tasks_of_the_package_have_their_own_names() -> None:
    """Children of `converse` are seen under the callback that they run."""

    async def tick(talk: Conversation) -> None:
        await asyncio.Event().wait()

    async def talk(websocket: WebSocket) -> None:
        await converse(websocket, Conversation.send, model=Echo, writer=tick)

    with host(talk) as server:
        with connect(server.url("/ws")):
            assert str(census(server)) == "1 talk, 1 tick"
        assert str(census(server)) == "nobody"


def test_blocked_loop_is_told() -> None:
    """A handler that blocks the loop ends the census with a TimeoutError, not with a hang."""
    blocked, go_on = threading.Event(), threading.Event()

    async def block(websocket: WebSocket) -> None:
        await websocket.accept()
        blocked.set()
        assert go_on.wait(60)

    with host(block) as server, connect(server.url("/ws")):
        assert blocked.wait(15)
        with pytest.raises(TimeoutError):
            census(server)
        go_on.set()  # it blocked until here


def test_libraries_are_told_wherever_they_lie(tmp_path: Path) -> None:
    """Where the packages are in a folder of another environment, the reader's handlers are counted, and no others."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path)], check=True, timeout=100)
    root = Path(__file__).parents[3]
    paths = [str(root), str(root / "notebooks"), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    script = """
        import fastapi, sysconfig
        from fastapi import FastAPI, WebSocket
        from lab import census
        from server import serve
        from websockets.sync.client import connect

        assert not fastapi.__file__.startswith(sysconfig.get_path("purelib"))
        app = FastAPI()

        @app.websocket("/ws")
        async def echo(websocket: WebSocket):
            await websocket.accept()
            async for text in websocket.iter_text():
                await websocket.send_text(text)

        with serve(app) as server:
            print(census(server))
            with connect(server.url("/ws"), proxy=None):
                print(census(server))
    """
    python = tmp_path / ("Scripts" if os.name == "nt" else "bin") / "python"
    done = subprocess.run(
        [str(python), "-c", textwrap.dedent(script)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.stdout.splitlines() == ["nobody", "1 echo"], done.stderr
