"""``python -m server`` for an operator: where it listens, what it refuses, what it logs, how it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from lab.servers.valkey import Engine
from websockets.sync.client import connect

from server.__main__ import main
from server.access.tokens import issue_session
from server.errors import StartError
from server.run.cli import parse
from server.run.sockets import _addresses, _listener, listen

KEY = "a secret of thirty-two characters"
DEADLINE = 100  # seconds that anything here may take, on a very busy machine

pytestmark = pytest.mark.usefixtures("nowhere")


class Server:
    """A server in another process, and everything that it writes."""

    def __init__(self, folder: Path, *flags: str, host: str) -> None:
        self.log = folder / "log"
        self._out = self.log.open("w")
        command = [sys.executable, "-m", "server", "--port", "0", "--host", host, "--broker", "memory:", *flags]
        environment = os.environ | {"CHAT_KEY": KEY}
        self.process = subprocess.Popen(command, stdout=self._out, stderr=self._out, env=environment)

    def port(self) -> int:
        """Wait until it runs; return its port."""
        deadline = time.monotonic() + DEADLINE
        while not (found := re.search(r"running on http://\S+:(\d+)", self.written)):
            assert time.monotonic() < deadline, self.written
            assert self.process.poll() is None, self.written
            time.sleep(0.01)
        return int(found[1])

    def poster(self) -> list[tuple[str, int]]:
        """Wait until the poster of a class is printed; return the addresses on it."""
        self.until("You open ")
        found = re.findall(r"open +http://([^/\s]+):(\d+)/", self.written)
        assert found
        return [(host.strip("[]"), int(port)) for host, port in found]

    @property
    def written(self) -> str:
        """All that it has written so far."""
        return self.log.read_text()

    def until(self, words: str, times: int = 1) -> None:
        """Wait until it has written them so often."""
        deadline = time.monotonic() + DEADLINE
        while self.written.count(words) < times:
            assert time.monotonic() < deadline, self.written
            assert self.process.poll() is None, self.written
            time.sleep(0.01)

    def stop(self) -> int:
        """Tell it to stop; return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE)


@contextmanager
def served(folder: Path, *flags: str, host: str = "127.0.0.1") -> Iterator[Server]:
    """Serve for the length of the block; nothing of it is left."""
    server = Server(folder, *flags, host=host)
    try:
        yield server
    finally:
        children = psutil.Process(server.process.pid).children(recursive=True) if server.process.poll() is None else []
        server.process.kill()
        for child in children:
            child.kill()
        server.process.wait(DEADLINE)


def answers(host: str, port: int) -> bool:
    """Whether somebody accepts there."""
    try:
        socket.create_connection((host, port), DEADLINE).close()
    except OSError:
        return False
    return True


HAS_IPV6 = (socket.has_ipv6 and Path("/proc/net/if_inet6").is_file()) or sys.platform != "linux"


@pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6")
@pytest.mark.parametrize("flags", [(), ("--classroom",)], ids=["plain", "classroom"])
@pytest.mark.parametrize("host", ["::", "localhost"])
def test_every_address_of_a_host_answers(tmp_path: Path, host: str, flags: tuple[str, ...]) -> None:
    """``::`` is every network of both protocols, and localhost both of this machine."""
    with served(tmp_path, *flags, host=host) as server:
        port = server.port()
        assert answers("127.0.0.1", port)
        assert answers("::1", port)
        for address, number in server.poster() if flags else ():
            assert answers(address, number), server.written
        assert server.stop() == 0


@pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6")
@pytest.mark.skipif(Engine.missing() is not None, reason=str(Engine.missing()))
def test_several_workers_answer_on_both_protocols(tmp_path: Path) -> None:
    """As one does; and a client of IPv4 is seen under its own address, so that a proxy there is trusted."""
    with Engine() as engine, served(tmp_path, "--workers", "2", "--broker", engine.url, host="::") as server:
        port = server.port()
        deadline = time.monotonic() + DEADLINE
        for host in ("127.0.0.1", "[::1]"):
            while True:
                try:
                    assert httpx.get(f"http://{host}:{port}/healthz", trust_env=False).status_code == 200
                    break
                except httpx.TransportError:
                    assert time.monotonic() < deadline, server.written
        assert "::ffff:" not in server.written


def test_an_address_of_another_machine_is_refused() -> None:
    """In a sentence with the remedy, and no socket stays open."""
    with pytest.raises(StartError, match=r"cannot listen on '192\.0\.2\.1', port 0 .* pass --host"):
        listen("192.0.2.1", 0)


def test_a_port_that_is_taken_is_refused() -> None:
    """Also if it is taken in one of two protocols only."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=f"port {port} .*--port one that is free"):
            listen("localhost", port)


def test_a_free_port_is_free_at_every_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the port that the system gave for IPv4 is taken for IPv6, another is used."""
    if "::1" not in [address for _, address in _addresses("localhost")]:
        pytest.skip("this machine has no IPv6")
    with ExitStack() as others:
        taken: list[int] = []

        def other_was_quicker(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
            if family == socket.AF_INET6 and not taken:
                others.enter_context(_listener(family, address, port)).listen()
                taken.append(port)
            return _listener(family, address, port)

        monkeypatch.setattr("server.run.sockets._listener", other_was_quicker)
        monkeypatch.setattr("server.run.sockets._has_ipv6_loopback", lambda: True)
        ports = {others.enter_context(listener).getsockname()[1] for listener in listen("localhost", 0)}
        assert len(ports) == 1
        assert ports.isdisjoint(taken)


@pytest.mark.parametrize(
    ("flags", "environment", "words"),
    [
        ("", {"CHAT_ORIGINS": "https://a.example"}, ["origins", "as JSON"]),
        ("", {"CHAT_ORIGINS": ""}, ["origins", "as JSON"]),
        ("", {"CHAT_HOSTS": "chat.example"}, ["hosts", "as JSON"]),
        ("--origins chat.example", {}, ["--origins", "'chat.example'", "https://example.com"]),
        ("--broker sqlite:/dev/null/x/chat.sqlite", {}, ["/dev/null/x/chat.sqlite", "cannot be made"]),
        ("--inboxes sqlite:/dev/null/x/chat.sqlite", {}, ["/dev/null/x/chat.sqlite", "cannot be made"]),
        ("", {"CHAT_CONNECTIONS": "many"}, ["--connections", "'many'", "CHAT_CONNECTIONS"]),
        ("--trusted-proxies nosuch-host", {}, ["--trusted-proxies", "'nosuch-host'", "10.0.0.0/8"]),
        ("--trusted-proxies 10.0.0.1/8", {}, ["'10.0.0.1/8'", "host bits set"]),
        ("--trusted-proxies 127.0.0.1:8000", {}, ["'127.0.0.1:8000'", "'none'"]),
        ("--trusted-proxies 127.0.0.1;10.0.0.1", {}, ["'127.0.0.1;10.0.0.1'"]),
        ("", {"CHAT_TRUSTED_PROXIES": ""}, ["--trusted-proxies", "''", "'none'"]),
        ("--host 192.0.2.1", {}, ["'192.0.2.1'", "--host"]),
    ],
)
def test_an_impossible_setting_is_refused_in_one_sentence(
    flags: str,
    environment: dict[str, str],
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the setting, its value and what is allowed; an exception would end this test."""
    for name, value in ({"CHAT_KEY": KEY, "CHAT_BROKER": "memory:"} | environment).items():
        monkeypatch.setenv(name, value)
    assert main(["--port", "0", *flags.split()]) == 1
    told = capsys.readouterr().err
    assert len(told.splitlines()) == 1, told
    for word in words:
        assert word in told


@pytest.mark.parametrize("proxies", ["none", "10.0.0.7", "10.0.0.0/8, fd00::/8"])
def test_trusted_proxies_accepts_addresses_and_networks(proxies: str) -> None:
    """Addresses, networks, or nobody."""
    command = parse(["--key", KEY, "--broker", "memory:", "--trusted-proxies", proxies])
    assert command.server_options["forwarded_allow_ips"] == ("" if proxies == "none" else proxies.replace(" ", ""))


# another site's name may have been pointed to this machine


def test_a_demo_accepts_only_pages_under_its_own_names(tmp_path: Path) -> None:
    """DNS rebinding: a page of another site whose name now leads here sends that name as Host and in its Origin."""
    with served(tmp_path, "--demo-login") as server:
        port = server.port()
        own = ("localhost", "127.0.0.1", "[::1]", "10.1.2.3", socket.gethostname())
        foreign = ("rebound.example", "localhost.example")
        answered = {}
        for host in (*own, *foreign):
            headers = {"Host": f"{host}:{port}", "Origin": f"http://{host}:{port}"}
            url = f"http://127.0.0.1:{port}/login"
            answered[host] = httpx.post(url, json={"name": "ana"}, headers=headers, trust_env=False)
        statuses = {host: answer.status_code for host, answer in answered.items()}
        assert statuses == dict.fromkeys(own, 204) | dict.fromkeys(foreign, 403)
        remedy = "'rebound.example' is not a name of this server that it knows; add it with --hosts"
        assert answered["rebound.example"].json() == {"detail": remedy}
        assert remedy in server.written


def test_only_the_named_hosts_are_accepted(tmp_path: Path) -> None:
    """By HTTP and over the socket alike; a star takes every name below."""
    with served(tmp_path, "--demo-login", "--hosts", "chat.example", "--hosts", "*.classes.example") as server:
        url = f"http://127.0.0.1:{server.port()}/login"
        statuses = {}
        for name in ("chat.example", "CHAT.example:80", "a.classes.example", "classes.example", "localhost"):
            headers = {"Host": name, "Origin": f"http://{name}"}
            statuses[name] = httpx.post(url, json={"name": "ana"}, headers=headers, trust_env=False).status_code
        assert list(statuses.values()) == [204, 204, 204, 403, 403]


# what is written


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize("level", ["debug", "info"])
def test_no_secret_is_logged(tmp_path: Path, level: str, style: str) -> None:
    """Tokens in a header, a cookie or an address, tickets, messages and notifications, at every level."""
    token = issue_session("ana", key=KEY, seconds=60)
    pusher = issue_session("shop", key=KEY, seconds=60, scope="push")
    with served(tmp_path, "--demo-login", "--log-level", level, "--log-format", style) as server:
        port = server.port()
        http = f"http://127.0.0.1:{port}"
        bearer = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=http, trust_env=False) as client:
            ticket = client.post("/ticket", headers=bearer).json()["ticket"]
            client.post("/ticket", headers={"Cookie": f"chat_session={token}", "Origin": http})
            client.get(f"/notifications?token={token}", headers=bearer)
            note = {"kind": "k", "text": "SECRETNOTE"}
            client.post("/users/ana/notifications", json=note, headers={"Authorization": f"Bearer {pusher}"})
            client.post("/login", json={"name": "ben", "password": "SECRETPASSWORD"}, headers={"Origin": http})
        with connect(f"ws://127.0.0.1:{port}/ws?device=d'%22&ticket={ticket}", proxy=None) as websocket:
            websocket.send('{"type":"join","room":"r"}')
            websocket.send('{"type":"say","room":"r","text":"SECRETMESSAGE"}')
            while "SECRETMESSAGE" not in str(websocket.recv(timeout=DEADLINE)):
                pass
        with socket.create_connection(("127.0.0.1", port), DEADLINE) as raw:
            raw.sendall(f"GET /ws?x='\"&ticket={ticket} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            while raw.recv(4096):
                pass
        assert server.stop() == 0
        log = server.written
        assert "/ws?" in log
        for secret in (token, pusher, ticket, "SECRETNOTE", "SECRETMESSAGE", "SECRETPASSWORD"):
            assert secret not in log


def test_a_name_cannot_forge_a_field_of_the_log(tmp_path: Path) -> None:
    """A value with spaces or an equals sign stands in quotes."""
    token = issue_session("ana code=1000", key=KEY, seconds=60)
    with served(tmp_path) as server:
        bearer = {"Authorization": f"Bearer {token}"}
        with connect(f"ws://127.0.0.1:{server.port()}/ws", additional_headers=bearer, proxy=None) as websocket:
            websocket.recv(timeout=DEADLINE)
            websocket.close(3000)
        server.until('user="ana code=1000" code=3000')
        assert server.stop() == 0


# how it ends


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells when a process has its own handler")
@pytest.mark.parametrize("flags", [(), ("--classroom",)], ids=["plain", "classroom"])
def test_a_signal_during_the_start_ends_it(tmp_path: Path, flags: tuple[str, ...]) -> None:
    """From the first moment in which the process takes SIGTERM by itself: none is swallowed."""
    with served(tmp_path, *flags) as server:
        deadline = time.monotonic() + DEADLINE
        while not takes_sigterm(server.process.pid):
            assert time.monotonic() < deadline
        assert server.stop() == 0


def takes_sigterm(pid: int) -> bool:
    """Whether a process has a handler for SIGTERM."""
    [caught] = re.findall(r"SigCgt:\s+(\w+)", Path(f"/proc/{pid}/status").read_text())
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.skipif(Engine.missing() is not None, reason=str(Engine.missing()))
def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """And let go of the port."""
    with Engine() as engine, served(tmp_path, "--workers", "2", "--broker", engine.url) as server:
        port = server.port()
        server.until("startup complete", times=2)
        workers = psutil.Process(server.process.pid).children(recursive=True)
        server.process.kill()
        _, alive = psutil.wait_procs(workers, timeout=DEADLINE)
        assert not alive
        listen("127.0.0.1", port)[0].close()
