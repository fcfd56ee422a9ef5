"""``python -m server``: what is refused at the start, and how it ends."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from lab.servers.valkey import Engine
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from server.__main__ import main
from server.errors import StartError
from server.run.cli import Command, parse
from server.settings import Settings

KEY = "a secret of thirty-two characters"
DEADLINE = 100  # seconds that anything here may take, on a very busy machine


pytestmark = pytest.mark.usefixtures("nowhere")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--connections 0", ["--connections", "'0'", "greater than 0"]),
        ("--port abc", ["--port", "'abc'", "integer"]),
        ("--port 70000", ["--port", "'70000'", "65535"]),
        ("--grace-seconds nan", ["--grace-seconds", "finite"]),
        ("--tls-cert nowhere.pem", ["--tls-cert", "nowhere.pem", "file"]),
        ("--log-level loud", ["--log-level", "'loud'", "'warning'"]),
        ("--workers 2", ["--workers 2", "sqlite", "valkey://"]),
        ("--workers 2 --broker valkey://localhost --inboxes memory:", ["memory:", "--inboxes valkey://"]),
        ("--workers 2 --broker memory:", ["memory:", "valkey://"]),
        ("--broker foo:", ["foo:", "sqlite:PATH", "valkey://"]),
        ("", ["CHAT_KEY", "32 characters"]),
    ],
)
def test_a_wrong_setting_is_refused_at_the_start(
    arguments: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """With its name, its value and what is allowed, in one line."""
    key = [] if not arguments else ["--key", KEY]
    assert main([*arguments.split(), *key]) == 1
    told = capsys.readouterr().err
    assert len(told.splitlines()) == 1
    for word in words:
        assert word in told


def test_a_key_that_is_refused_is_not_shown() -> None:
    """An error message is read by many."""
    with pytest.raises(StartError, match="32") as refused:
        parse(["--key", "hunter2"])
    assert "hunter2" not in str(refused.value)


def test_a_flag_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the environment over the default."""
    monkeypatch.setenv("CHAT_CONNECTIONS", "7")
    monkeypatch.setenv("CHAT_PORT", "8001")
    command = parse(["--key", KEY, "--port", "8002"])
    assert (command.connections, command.port) == (7, 8002)


def test_half_of_tls_is_refused(tmp_path: Path) -> None:
    """A certificate without its key would be served as plain HTTP."""
    (tmp_path / "cert.pem").touch()
    with pytest.raises(StartError, match="both or neither"):
        parse(["--key", KEY, "--tls-cert", "cert.pem"])


def test_help_explains_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    """Each with its sentence, and so its unit."""
    with pytest.raises(SystemExit):
        parse(["--help"])
    shown = re.sub(r"\s+", " ", capsys.readouterr().out)
    for name, field in Command.model_fields.items():
        assert f"--{name.replace('_', '-')}" in shown
        assert field.description
        assert re.sub(r"\s+", " ", field.description) in shown


def test_a_worker_finds_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever their type, through its environment."""
    command = parse(["--demo-login", "--origins", "https://a.example", "--origins", "https://b.example"])
    for name, value in command.environment.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    for name in set(Settings.model_fields) - {"key"}:
        assert getattr(settings, name) == getattr(command, name), name
    assert settings.key is not None


@contextmanager
def served(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """Start a server in another process, and a client that is logged in as Ana."""
    command = [sys.executable, "-m", "server", "--demo-login", "--port", "0", "--log-format", "json", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"running on (http://\S+)", json.loads(line)["message"]):
                break
        with httpx.Client(base_url=found[1], headers={"Origin": found[1]}, trust_env=False) as client:  # type: ignore[index]
            log_in(client)
            yield process, client
    finally:
        workers = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.kill()
        for worker in workers:
            worker.kill()
        process.communicate()


def log_in(client: httpx.Client) -> None:
    """As Ana, as soon as a worker listens."""
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            client.post("/login", json={"name": "ana"}).raise_for_status()
            return
        except httpx.ConnectError:
            assert time.monotonic() < deadline, "no worker listens"
            time.sleep(0.05)


def address(client: httpx.Client) -> str:
    """Where to connect, with a new ticket."""
    ticket = client.post("/ticket").raise_for_status().json()["ticket"]
    return f"{str(client.base_url.join('/ws')).replace('http', 'ws')}?ticket={ticket}"


def test_a_server_that_is_stopped_closes_its_connections() -> None:
    """SIGTERM: every client gets its 1012, and the process ends with 0."""
    with served() as (process, client), connect(address(client), proxy=None) as socket:
        assert "welcome" in socket.recv(timeout=DEADLINE)
        process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=DEADLINE)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
        assert process.wait(DEADLINE) == 0


def test_the_log_has_neither_tickets_nor_messages() -> None:
    """One JSON object for each line, with the path and without the query."""
    with served() as (process, client):
        where = address(client)
        with connect(where, proxy=None) as socket:
            socket.send('{"type":"join","room":"lobby"}')
            socket.send('{"type":"say","room":"lobby","text":"a very private word"}')
            while "private" not in str(socket.recv(timeout=DEADLINE)):
                pass
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=DEADLINE)
        events = [json.loads(line) for line in log.splitlines()]
        assert any("/ws?…" in event["message"] for event in events)
        [ended] = [event for event in events if event["message"] == "connection ended"]
        assert (ended["user"], ended["code"]) == ("ana", 1000)
        assert where.partition("ticket=")[2] not in log
        assert "private" not in log


def test_messages_survive_kill_9() -> None:
    """In the data folder, without a farewell."""
    join = '{"type":"join","room":"lobby","last":10}'
    with served() as (process, client), connect(address(client), proxy=None) as socket:
        socket.send(join)
        socket.send('{"type":"say","room":"lobby","text":"remember me"}')
        while "remember me" not in str(socket.recv(timeout=DEADLINE)):
            pass
        process.kill()
        process.wait(DEADLINE)
    with served() as (process, client), connect(address(client), proxy=None) as socket:
        socket.send(join)
        while "remember me" not in str(socket.recv(timeout=DEADLINE)):
            pass
    assert list(Path("data").glob("chat.sqlite*"))


@pytest.mark.skipif(Engine.missing() is not None, reason=str(Engine.missing()))
def test_two_workers_share_their_rooms() -> None:
    """What is said to one process is heard at both, whichever a client comes to."""
    with Engine() as engine, served("--workers", "2", "--broker", engine.url) as (process, client):
        sockets = [connect(address(client), proxy=None, compression=None).__enter__() for _ in range(8)]
        for socket in sockets:
            socket.send('{"type":"join","room":"lobby"}')
            while '"joined"' not in str(socket.recv(timeout=DEADLINE)):
                pass
        sockets[0].send('{"type":"say","room":"lobby","text":"to everybody"}')
        for socket in sockets:
            while "to everybody" not in str(socket.recv(timeout=DEADLINE)):
                pass
            socket.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0
