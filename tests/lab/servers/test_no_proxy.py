"""A proxy in the environment, as universities set one: the lessons reach their own machine without it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from fastapi import FastAPI, WebSocket
from lab.servers.no_proxy import LOCAL

from server import BackgroundServer, serve

ASK = """
import asyncio, json, sys, urllib.request
import httpx
from websockets.asyncio.client import connect as open_socket
from websockets.sync.client import connect

async def asynchronous():
    async with open_socket(url) as client, httpx.AsyncClient() as http:
        return await client.recv(), (await http.get(page)).status_code

def synchronous():
    with connect(url) as client:
        return client.recv(timeout=100)

url, page = sys.argv[1:]
found = {}
for name, ask in {
    "websockets": synchronous,
    "httpx": lambda: httpx.get(page).status_code,
    "urllib": lambda: urllib.request.urlopen(page, timeout=100).status,
    "asynchronous": lambda: asyncio.run(asynchronous()),
}.items():
    try:
        found[name] = ask()
    except Exception as error:
        found[name] = repr(error)
print(json.dumps(found))
"""
# the program again, in a child that does not import the instruments
CHILD = "import lab, subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[3], *sys.argv[1:3]], check=True)"
GOOD = {"websockets": "hi", "httpx": 200, "urllib": 200, "asynchronous": ["hi", 200]}


@pytest.fixture
def server() -> Iterator[BackgroundServer]:
    """A server with a page and a WebSocket."""
    app = FastAPI()

    @app.get("/")
    async def page() -> str:
        return "hi"

    @app.websocket("/ws")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("hi")
        await websocket.close()

    with serve(app) as running:
        yield running


def asked_by(program: str, server: BackgroundServer, settings: dict[str, str], *arguments: str) -> dict[str, object]:
    """What the program finds under these proxy settings and no others."""
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    command = [sys.executable, "-c", program, server.url("/ws"), server.http(), *arguments]
    done = subprocess.run(command, env=environment | settings, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


SETTINGS: list[dict[str, str]] = [
    {"HTTP_PROXY": "http://PROXY", "HTTPS_PROXY": "http://PROXY"},
    {"http_proxy": "PROXY", "no_proxy": ".example.com"},
    {"ALL_PROXY": "http://PROXY"},
    {"ALL_PROXY": "socks5://PROXY"},
    {"all_proxy": "socks://PROXY/", "http_proxy": "http://PROXY"},
    {"WS_PROXY": "http://PROXY"},
    {"NO_PROXY": "localhost,127.0.0.1,[::1]"},
    {"HTTP_PROXY": "http://PROXY", "NO_PROXY": "fd07:b51a:cc66:f0::/64"},
]


@pytest.mark.parametrize("settings", SETTINGS, ids="-".join)
def test_lessons_reach_their_own_machine(
    server: BackgroundServer, proxy: tuple[str, list[bytes]], settings: dict[str, str]
) -> None:
    """After `import lab`, no library of the lessons asks the proxy for this machine, not even in a child."""
    address, asked = proxy
    given = {name: value.replace("PROXY", address) for name, value in settings.items()}
    assert asked_by(CHILD, server, given, ASK) == GOOD
    if settings is SETTINGS[0]:
        assert asked_by(f"import lab\n{ASK}", server, given) == GOOD
    assert asked == []


@pytest.mark.parametrize("settings", SETTINGS, ids="-".join)
def test_the_settings_would_stop_a_program(
    server: BackgroundServer, proxy: tuple[str, list[bytes]], settings: dict[str, str]
) -> None:
    """Each of them breaks a program that doesn't import the instruments, so the test above can fail."""
    given = {name: value.replace("PROXY", proxy[0]) for name, value in settings.items()}
    assert asked_by(ASK, server, given) != GOOD


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ""),
        ({"HTTP_PROXY": "http://127.0.0.1:9"}, ",".join(LOCAL)),
        ({"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "a.example, localhost"}, "a.example,localhost,127.0.0.1,::1"),
        ({"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "*"}, "*"),
        ({"ALL_PROXY": "socks5://127.0.0.1:9", "NO_PROXY": "a.example"}, "*"),
    ],
    ids=["none", "one", "with exceptions", "none for anybody", "one that httpx refuses"],
)
def test_everything_else_stays_as_it_is_set(server: BackgroundServer, settings: dict[str, str], expected: str) -> None:
    """Other hosts keep their proxy, unless httpx could not work at all; a second time, nothing is changed any more."""
    names = ("no_proxy", "NO_PROXY")
    again = "from lab.servers.no_proxy import bypass_proxy; bypass_proxy()"
    show = f"import json, os, lab; {again}; print(json.dumps({{n: os.environ.get(n, '') for n in {names}}}))"
    assert asked_by(show, server, settings) == {"no_proxy": expected, "NO_PROXY": expected}
