"""The check of a room finds what is wrong with it, and each problem says what helps."""

from __future__ import annotations

import os
import socket
import threading
import urllib.request
import webbrowser
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import psutil
import pytest
from lab.servers.valkey import Engine

from deploy import check_room as room

HOST = "127.0.0.1"
PROXIES = ("http", "https", "ws", "wss", "all", "socks", "no")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine of the tests may have proxies; a test sets its own, and what the check itself sets is undone."""
    for name in PROXIES:
        for variable in (f"{name}_proxy", f"{name}_proxy".upper()):
            monkeypatch.setenv(variable, "")
            monkeypatch.delenv(variable)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.create_server((HOST, 0)) as listener:
        yield listener.getsockname()[1]


def test_packages_that_are_missing_or_old_are_named() -> None:
    """Each package that is not as wanted is named with what was found; what is not for this course is not asked for."""
    line = room.versions(["pytest>=1", "psutil>=999", "no-such-package", "nor-this; extra == 'dev'"])
    assert not line.ok
    assert line.found == f"psutil is {psutil.__version__}, wanted >=999; no-such-package is missing"
    assert "pip install" in line.remedy


def test_this_environment_is_what_the_course_wants() -> None:
    """The requirements are those of pyproject.toml, with the extra of the course."""
    assert room.versions().ok


def test_a_port_that_is_taken_is_a_problem(taken: int) -> None:
    """The server for the class could not start; the remedy names another port."""
    line = room.port(taken, host=HOST)
    assert not line.ok
    assert f"--port {taken + 1}" in line.remedy
    assert room.port(0, host=HOST).ok


def test_a_proxy_that_catches_the_server_for_the_class_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own addresses are spared by the lessons themselves; the remedy spares the other one as well."""
    assert room.proxy("10.0.0.5").found == "none is used"
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", ".example")
    assert room.proxy().found == "https_proxy is set, and spares this machine"
    line = room.proxy("10.0.0.5")
    assert line.found == "https_proxy would catch 10.0.0.5"
    monkeypatch.setenv("no_proxy", line.remedy.split("=")[1].split()[0])
    assert room.proxy("10.0.0.5").ok
    assert ".example" in os.environ["no_proxy"]


def test_proxy_settings_that_httpx_refuses_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the lessons get around them, the check does not say ok where lesson 01 would fail."""
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:9")
    assert room.proxy().ok
    monkeypatch.delenv("no_proxy")
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setattr("lab.servers.no_proxy.bypass_proxy", lambda: None)
    assert "httpx refuses all_proxy: " in room.proxy().found


def test_a_hard_limit_of_descriptors_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """The soft limit is raised by the lessons themselves; a hard one only the system's owner can raise."""
    resource = pytest.importorskip("resource", reason="Windows has no limit of file descriptors")
    limits = [(1_024, 1_024), (1_024, 524_288), (1_024, resource.RLIM_INFINITY)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits.pop(0))
    line = room.descriptors()
    assert (line.ok, line.found) == (False, "a process may have 1,024, and 4,096 are needed")
    assert room.descriptors().ok
    assert room.descriptors().ok


def test_an_engine_that_does_not_answer_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """None is here, or the one that VALKEY_URL names is dead: both say why."""
    monkeypatch.delenv("VALKEY_URL", raising=False)
    with monkeypatch.context() as patch:
        patch.setattr(Engine, "missing", staticmethod(lambda: "no engine is installed"))
        assert room.engine().found == "no engine is installed"
    with monkeypatch.context() as patch:
        patch.setattr("lab.servers.valkey.START_DEADLINE", 0.1)
        patch.setenv("VALKEY_URL", "valkey://127.0.0.1:1")
        line = room.engine()
        assert not line.ok
        assert "did not start" in line.found
    if Engine.missing() is None:
        assert room.engine().ok


def test_no_browser_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one on the path nor one that the system knows."""

    def none() -> None:
        raise webbrowser.Error("could not locate runnable browser")

    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(webbrowser, "get", none)
    assert not room.browser().ok
    monkeypatch.setattr(webbrowser, "get", lambda: webbrowser.GenericBrowser("open"))
    assert room.browser().ok


def test_too_many_kernels_for_the_machine_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory says how many fit; cores say how slow it gets."""
    monkeypatch.setattr(psutil, "cpu_count", lambda: 4)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=5 * 2**30))
    assert room.capacity(1).ok
    assert "let 8 work here" in room.capacity(30).remedy
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=64 * 2**30))
    assert "one for each 8 students" in room.capacity(33).remedy


def test_a_folder_that_cannot_be_written_to_is_a_problem(tmp_path: Path) -> None:
    """Answers to the exercises could not be saved."""
    assert room.folder(tmp_path).ok
    assert not room.folder(tmp_path / "missing").ok


def test_a_machine_in_no_network_reaches_no_students() -> None:
    """The teacher learns it before the class begins."""
    assert not room.network(8000, None).ok
    assert "http://10.0.0.5:8000/join" in room.network(8000, "10.0.0.5").found


def test_a_visit_from_another_machine_shows_that_the_port_is_open() -> None:
    """A visitor is named if it is another machine; if none connects in time, that is a problem."""
    with socket.create_server((HOST, 0)) as listener:
        number = listener.getsockname()[1]
    done = threading.Event()

    def visit() -> None:
        while not done.wait(0.01):
            with suppress(URLError, ConnectionError):
                urllib.request.urlopen(f"http://{HOST}:{number}/", timeout=30).close()

    visitor = threading.Thread(target=visit)
    visitor.start()
    try:
        assert room.wait_for_visitors(HOST, number, 5, own=set()) == [HOST]
        assert not room.network(number, HOST, wait=0.1, host=HOST).ok
    finally:
        done.set()
        visitor.join(30)


def test_the_exit_status_tells_whether_there_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line for each check, the remedy below its problem, 1 for any problem, and 0 for none."""
    checks = ("versions", "folder", "port", "proxy", "descriptors", "engine", "browser", "capacity", "network")
    for name in checks:
        monkeypatch.setattr(room, name, lambda *_, name=name, **__: room.Line(name, True, "fine"))
    assert room.main([]) == 0
    fine = [f"ok       {name:12} fine" for name in checks]
    assert capsys.readouterr().out.splitlines() == [*fine, "the room is ready"]
    monkeypatch.setattr(room, "descriptors", lambda: room.Line("descriptors", False, "1,024", "raise it"))
    assert room.main([]) == 1
    shown = capsys.readouterr().out
    assert "problem  descriptors  1,024\n" + " " * 22 + "remedy: raise it\n" in shown
    assert shown.endswith("the room is not ready: 1 problem\n")
    monkeypatch.setattr(room, "versions", lambda: room.Line("versions", False, "old", "install it"))
    assert room.main([]) == 1
    assert len(capsys.readouterr().out.splitlines()) == 3, "the others need the packages"
