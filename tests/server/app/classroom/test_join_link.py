"""``python -m server --classroom``: the settings that it implies, and the links that it prints."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest
from websockets.sync.client import connect

from server.app.classroom import join_link
from server.errors import StartError
from server.run.cli import parse
from tests.server.people import DEADLINE

from .lesson import lesson

pytestmark = pytest.mark.usefixtures("nowhere")


def test_a_class_is_open_to_the_network() -> None:
    """With the demo login, on every address unless one is given; and nothing of it without the flag."""
    command = parse(["--classroom"])
    assert (command.demo_login, command.host) == (True, "0.0.0.0")
    assert parse(["--classroom", "--host", "127.0.0.1"]).host == "127.0.0.1"
    usual = parse(["--demo-login"])
    assert (usual.classroom, usual.host) == (False, "127.0.0.1")


def test_a_class_is_in_one_process() -> None:
    """The teacher would see the connections of one process only."""
    with pytest.raises(StartError, match="--workers 1"):
        parse(["--classroom", "--workers", "2", "--broker", "valkey://127.0.0.1", "--inboxes", "valkey://127.0.0.1"])


def test_the_command_prints_the_links() -> None:
    """The address for students as text and as a QR code, and the teacher's with a key that is good and not logged."""
    command = [sys.executable, "-m", "server", "--classroom", "--host", "127.0.0.1", "--port", "0"]
    environment = os.environ | {"PYTHONIOENCODING": "utf-8"}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "encoding": "utf-8"}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        try:
            assert process.stdout is not None
            told = ""
            for line in process.stdout:
                told += line
                if found := re.search(r"(http://127.0.0.1:\d+/)teacher#key=(\S+)", line):
                    break
            base, key = found.groups()  # type: ignore[union-attr]
            assert f"{base}join\n" in told
            assert "█" in told
            with httpx.Client(base_url=base, trust_env=False, timeout=DEADLINE) as client:
                assert client.get("/join", follow_redirects=True).status_code == 200
            with connect(f"{base.replace('http', 'ws')}teacher/ws", proxy=None) as socket:
                socket.send(json.dumps({"type": "teacher", "key": key}))
                assert json.loads(socket.recv(timeout=DEADLINE))["join"] == f"{base}join"
        finally:
            process.terminate()
            _, log = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0
    assert "/teacher/ws" in log
    assert key not in log


def test_students_find_the_page() -> None:
    """``/join`` leads to the chat page, and its QR code is a picture."""
    with lesson() as room, httpx.Client(base_url=room.server.http(), trust_env=False) as client:
        assert client.get("/join").headers["location"] == "./"
        code = client.get("/join.svg")
        assert code.headers["content-type"] == "image/svg+xml"
        assert ElementTree.fromstring(code.text).tag.endswith("svg")


def test_qr_codes_are_rate_limited() -> None:
    """Drawing blocks the loop, and if no address is known, a client chooses it by the Host header."""
    with lesson() as room, httpx.Client(base_url=room.server.http(), trust_env=False) as client:
        for length in (300, 2_000, 3_500):
            assert client.get("/join.svg", headers={"Host": "h" * length}).status_code == 400
        hosts = [f"host{number}.example" for number in range(20)]
        statuses = [client.get("/join.svg", headers={"Host": host}).status_code for host in hosts]
        assert statuses[:8] == [200] * 8
        assert 429 in statuses
        app: Any = room.chat.hall.app
        app.state.classroom.join = "http://10.1.2.3:8000/join"  # known, and so the same for everybody
        deadline = time.monotonic() + DEADLINE
        while client.get("/join.svg").status_code == 429:  # until the next may be drawn
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert {client.get("/join.svg", headers={"Host": host}).status_code for host in hosts} == {200}


def test_the_teacher_finds_a_page() -> None:
    """With the headers of the chat's page, and without the key: that stands where a browser tells no server."""
    with lesson() as room, httpx.Client(base_url=room.server.http(), trust_env=False) as client:
        page, usual = client.get("/teacher"), client.get("/")
        assert page.status_code == 200
        assert "text/html" in page.headers["content-type"]
        assert page.headers["content-security-policy"] == usual.headers["content-security-policy"]
        assert room.key not in page.text


def test_a_machine_without_a_network_has_no_lan_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """No one else could open it, so the text says what to do; an address that was given is used unchanged."""
    assert join_link.lan_address("192.0.2.7") == "192.0.2.7"
    monkeypatch.setattr(join_link, "ELSEWHERE", ("127.0.0.1", 9))
    assert join_link.lan_address("0.0.0.0") is None
    assert "--host ADDRESS" in join_link.join_instructions(None, "http://127.0.0.1:8000/teacher#key=x")
