"""A project of a reader's own uses the plugin with one line, and without it nothing loads pytest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import grimp

APP = """
from fastapi import FastAPI, WebSocket

app = FastAPI()

@app.websocket("/ws")
async def echo(websocket: WebSocket):
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)
"""
TEST = """
from shop import app

def test_echo(serve, tap, websocket):
    ana = websocket(tap(serve(app)))
    ana.send("hello")
    assert ana.recv() == "hello"
"""


def test_one_line_is_enough(tmp_path: Path) -> None:
    """A folder with an app, a conftest of one line, a test, and a pytest without any other plugin."""
    (tmp_path / "shop.py").write_text(APP)
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["server.testing"]\n')
    (tmp_path / "test_shop.py").write_text(TEST)
    command = [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    quiet = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=quiet, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 passed" in done.stdout
    assert "warning" not in done.stdout


def test_only_the_fixtures_need_pytest() -> None:
    """The backend runs where it isn't installed, and the lessons don't load it."""
    graph = grimp.build_graph("server", include_external_packages=True, cache_dir=None)
    assert graph.find_modules_that_directly_import("pytest") == {"server.testing.fixtures"}
    assert not graph.find_modules_that_directly_import("server.testing.fixtures")
