"""``python -m server`` that cannot start: a sentence and an exit status for every cause, never a traceback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from lab.servers.valkey import Engine

from server.__main__ import main
from server.app import create_app
from server.errors import StartError
from server.handshake import Handshake
from server.run.cli import Command, parse
from server.run.sockets import listen

KEY = "a secret of thirty-two characters"
DEADLINE = 200  # seconds for a process that is to end; uvicorn looks after its workers every 5
STARTUP_FAILURE = 3  # uvicorn's exit status

BAD = (
    "",
    "x",
    "-1",
    "0",
    "1.5",
    "nan",
    "inf",
    "1e400",
    "9" * 30,
    "9" * 5000,
    "a" * 300,
    "a\nb",
    "\x01",
    "\udc80",
    "ä..b",
    "true",
    "null",
    "[",
    "[]",
    "{}",
    "[1]",
    '["["]',
    '"x"',
    "http://[",
    "https://a b",
    "https://*",
    "chat.example:8000",
    "valkey://h:99999",
    "valkey://[::",
    "sqlite:",
    "sqlite:/",
    "/dev/null",
    "/nonexistent/x",
)

pytestmark = pytest.mark.usefixtures("usable")


@pytest.fixture
def usable(nowhere: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings with which a server would start."""
    monkeypatch.setenv("CHAT_KEY", KEY)
    monkeypatch.setenv("CHAT_BROKER", "memory:")


def refused(arguments: list[str]) -> str:
    """Read settings and make an app of them; return the sentence with which they are refused, or nothing."""
    try:
        create_app(parse(arguments))
    except StartError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", Command.model_fields)
def test_every_setting_takes_a_value_or_names_itself(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stands in its flag or its variable: any other exception would end this test."""
    flag, variable = f"--{name.replace('_', '-')}", f"CHAT_{name.upper()}"
    said = []
    for value in BAD:
        if Command.model_fields[name].annotation is not bool:  # such a flag takes no value
            said.append(refused([f"{flag}={value}"]))
        with monkeypatch.context() as patch:
            patch.setenv(variable, value)
            said.append(refused([]))
    for sentence in filter(None, said):
        assert len(sentence.splitlines()) <= 2, sentence
        assert flag in sentence


@pytest.mark.parametrize("host", ["", "ä..b", "a" * 300, "\udc80", "nosuch.invalid", "192.0.2.1", "::1%nosuch"])
def test_an_impossible_host_is_refused(host: str) -> None:
    """A name that doesn't exist, one that can't exist, and an address of another machine."""
    with pytest.raises(StartError, match=r"cannot listen on .* pass --host an address of this machine"):
        listen(host, 0)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--hosts", "https://chat.example"], ["'https://chat.example'", "without scheme and port"]),
        (["--hosts", "chat.example:8000"], ["'chat.example:8000'", "without scheme and port"]),
        (["--broker", "valkey://ana:hunter2@[::"], ["--broker (or CHAT_BROKER)", "valkey://HOST:PORT"]),
        (["--inboxes", "valky://ana:hunter2@h"], ["--inboxes (or CHAT_INBOXES)", "'valky://…@h'"]),
        (["--broker", "sqlite:/"], ["--broker (or CHAT_BROKER)", "sqlite:PATH"]),
    ],
)
def test_an_option_without_effect_is_refused(flags: list[str], words: list[str]) -> None:
    """With its setting, its value and what is allowed, but without a password in it."""
    told = refused(flags)
    assert len(told.splitlines()) == 1
    for word in words:
        assert word in told
    assert "hunter2" not in told


@pytest.mark.parametrize("variable", ["CHAT_ORIGINS", "CHAT_HOSTS"])
@pytest.mark.parametrize("command", ["serve", "token"])
def test_a_setting_that_is_not_a_list_is_named(
    variable: str, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its variable and its value; also to somebody who only wants a token."""
    monkeypatch.setenv(variable, "chat.example")
    if command == "token":
        assert main(["token", "--user", "ana"]) == 1
        told = capsys.readouterr().err
    else:
        told = refused([])
    assert len(told.splitlines()) == 1
    for word in (variable, "'chat.example'", "as JSON"):
        assert word in told


@pytest.mark.parametrize("wrong", ["no PEM", "another key", "pass phrase"])
def test_a_certificate_that_cannot_be_used_is_refused(wrong: str, tmp_path: Path) -> None:
    """Before anything is served, and without asking for a pass phrase."""
    authority = trustme.CA()
    mine, other = authority.issue_cert("localhost"), authority.issue_cert("localhost")
    private = load_pem_private_key(mine.private_key_pem.bytes(), None)
    locked = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hunter2"))
    keys = {"no PEM": b"x", "another key": other.private_key_pem.bytes(), "pass phrase": locked}
    (tmp_path / "cert.pem").write_bytes(mine.cert_chain_pems[0].bytes())
    (tmp_path / "key.pem").write_bytes(keys[wrong])
    told = refused(["--tls-cert", "cert.pem", "--tls-key", "key.pem"])
    assert len(told.splitlines()) == 1
    for word in ("--tls-cert 'cert.pem'", "--tls-key 'key.pem'", "without a pass phrase"):
        assert word in told


@pytest.mark.parametrize("flag", ["--broker", "--inboxes"])
@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("sqlite:folder.sqlite", "'folder.sqlite': Is a directory"),
        ("sqlite:letter.sqlite", "'letter.sqlite' is not the log of a broker"),
        ("valkey://ana:hunter2@127.0.0.1:1", "the engine at 127.0.0.1:1 cannot be used"),
    ],
)
def test_a_broker_that_cannot_be_opened_is_reported_in_one_sentence(flag: str, where: str, words: str) -> None:
    """It is found out only by opening it: a path that is taken, an engine that is down."""
    Path("folder.sqlite").mkdir()
    Path("letter.sqlite").write_text("Dear Ana, " * 1000)
    assert_start_fails([flag, where], words)


@pytest.mark.skipif(Engine.missing() is not None, reason=str(Engine.missing()))
def test_several_workers_fail_as_one_does() -> None:
    """With the status of a failed start, so that a supervisor doesn't take it for a success."""
    assert_start_fails(["--workers", "2", "--broker", "valkey://127.0.0.1:1"], "the engine at 127.0.0.1:1")


def assert_start_fails(flags: list[str], words: str) -> None:
    """Assert that a server in another process prints these words and no traceback, and exits with status 3."""
    command = [sys.executable, "-m", "server", "--port", "0", *flags]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=DEADLINE, check=False)
    written = done.stdout + done.stderr
    assert done.returncode == STARTUP_FAILURE, written
    assert "Traceback" not in written
    assert "hunter2" not in written
    for line in written.splitlines():
        if words in line:
            assert "--broker or CHAT_BROKER, --inboxes or CHAT_INBOXES" in line
            break
    else:
        pytest.fail(f"{words!r} is not in {written}")


@pytest.mark.skipif(Engine.missing() is not None, reason=str(Engine.missing()))
def test_a_slow_worker_is_not_killed(tmp_path: Path) -> None:
    """On a machine that is slow or busy it is not killed as hung, and started again, and killed again."""
    slow = "import sys, time\nif '--multiprocessing-fork' in sys.argv: time.sleep(7)\n"
    (tmp_path / "sitecustomize.py").write_text(slow)
    with Engine() as engine:
        command = [sys.executable, "-m", "server", "--port", "0", "--workers", "2", "--broker", engine.url]
        environment = os.environ | {"PYTHONPATH": str(tmp_path)}
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stderr is not None
                written: list[str] = []
                while sum("startup complete" in line for line in written) < 2:
                    written.append(process.stderr.readline())
                    assert written[-1], written  # it has ended
            finally:
                process.terminate()
                process.communicate(timeout=DEADLINE)
        assert not [line for line in written if "died" in line]


@pytest.mark.parametrize("name", ["Ana's MacBook", "a" * 64, "(none)", ""])
def test_a_machine_may_have_any_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What no address can contain is no name that a page could come from, and no reason not to start."""
    monkeypatch.setattr(socket, "gethostname", lambda: name)
    command = parse(["--demo-login", "--host", "localhost"])
    assert "localhost" in command.hosts
    Handshake(hosts=command.hosts)
