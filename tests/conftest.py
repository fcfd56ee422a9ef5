"""Fixtures for every test, and how the tests are shared out among several processes."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import certifi
import pytest
import trustme
from httpx._config import DEFAULT_TIMEOUT_CONFIG
from websockets.asyncio.client import connect as connect_async
from websockets.sync.client import connect
from xdist.scheduler import LoadFileScheduling

from server import stop_all

NPM_DEADLINE = 40  # seconds
PATIENCE = 60.0  # seconds that clients and servers wait in a test that names no other deadline


JUPYTERLAB = ("client", "landing", "lessons", "notebook7", "page_frame", "proxy_contract", "stepper")
ALONE = ("hub", "site", "slides")  # long ones, which need neither JupyterLab nor a server of the page
# the longest first, by --durations: what begins last must not keep one process busy after the others have ended
LONGEST = (
    "tests/browser/",
    "tests/project/test_install.py",
    "tests/server/broker/valkey/test_losses.py",
    "tests/server/run/",
    "tests/server/app/test_no_loss.py",
    "tests/benchmarks/",
    "tests/lab/servers/",
    "tests/deploy/",
    "tests/server/app/test_readable.py",
    "notebooks/",
)


class ByFile(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """A file goes to one process, and with it those of tests/browser that share a Chromium, and a JupyterLab."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        folder, _, name = file.rpartition("/")
        name = name.removeprefix("test_").removesuffix(".py")
        if folder != "tests/browser" or name in ALONE:
            return file
        return f"{folder}, in JupyterLab" if name in JUPYTERLAB else f"{folder}, pages"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out tests/lite unless it is named: it downloads Pyodide first, see `make test-lite`."""
    named = any("lite" in Path(argument).parts for argument in config.args)
    return True if collection_path.name == "lite" and not named else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""

    def rank(item: pytest.Item) -> int:
        return next((number for number, start in enumerate(LONGEST) if item.nodeid.startswith(start)), len(LONGEST))

    items.sort(key=rank)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFile:
    """Share out by file; for ``pytest -n 3``."""
    return ByFile(config, log)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run coroutine tests on asyncio, the loop that uvicorn uses."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def few_authorities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let httpx trust one authority, of this run: it reads all of certifi's for each client, which takes 15 ms."""
    bundle = tmp_path_factory.mktemp("authorities") / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(bundle))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certifi, "where", lambda: str(bundle))
        yield


@pytest.fixture(scope="session", autouse=True)
def patience() -> Iterator[None]:
    """The 5 s of httpx, the 10 s of websockets and the 4 s of `serve` are too few for a busy machine."""
    with pytest.MonkeyPatch.context() as patch:
        for wait in ("connect", "read", "write", "pool"):
            patch.setattr(DEFAULT_TIMEOUT_CONFIG, wait, PATIENCE)
        for opens in (connect, connect_async.__init__):
            assert opens.__kwdefaults__ is not None
            patch.setitem(opens.__kwdefaults__, "open_timeout", PATIENCE)
        patch.setattr("server.run.background.START_DEADLINE", PATIENCE)
        yield


@pytest.fixture(autouse=True)
def nothing_outlives_a_test() -> Iterator[None]:
    """Every server, tap and crowd of a test is gone when it ends, and so is its thread."""
    before = set(threading.enumerate())
    yield
    stop_all()
    left = []
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith(("server-", "tap-", "crowd-", "log-", "broker-")):
            thread.join(15)
            left += [thread.name] if thread.is_alive() else []
    assert not left


@pytest.fixture(scope="session")
def node_package(request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """Say in which folder npm has put a package such as ``"ws@8"``: in pytest's cache, the first time."""

    def folder(package: str) -> Path:
        npm = shutil.which("npm")
        if npm is None or shutil.which("node") is None:
            pytest.skip("Node and npm are not installed; on Debian and Ubuntu: apt install npm")
        assert request.config.cache is not None
        name = package.partition("@")[0]
        folder = Path(request.config.cache.mkdir(f"node-{name}"))
        if not (folder / "node_modules" / name / "package.json").is_file():
            command = [npm, "install", "--prefix", str(folder), "--no-save", "--no-audit", "--no-fund", package]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=NPM_DEADLINE, check=False)
            except subprocess.TimeoutExpired:
                pytest.skip(f"npm did not bring {name} within {NPM_DEADLINE} s")
            if done.returncode:
                pytest.skip(f"npm did not bring {name}: {done.stderr.strip()[-200:]}")
        return folder

    return folder


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[bytes]]]:
    """Where a proxy listens that refuses everything, and what it was asked for."""
    asked: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def refuse() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                client.settimeout(30)
                asked.append(client.recv(1_000))
                client.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")

    thread = threading.Thread(target=refuse)
    thread.start()
    yield f"127.0.0.1:{listener.getsockname()[1]}", asked
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(30)
