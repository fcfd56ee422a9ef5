"""server/README.md: what it says to run runs, what it names exists, and its table is the model's."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from lab.servers.valkey import Engine

from server.access.tokens import verify_session
from server.broker import Broker, Position, open_broker
from server.broker.sqlite.broker import LocalBroker
from server.run.cli import Command, parse
from server.run.token_command import token

from .settings_table import GUIDE, with_table

ROOT = GUIDE.parents[1]
TEXT = GUIDE.read_text()
KEY = "a secret of thirty-two characters"
PYTHON: list[str] = re.findall(r"^```python\n(.*?)^```", TEXT, re.M | re.S)
LINES = [line.strip()[2:] for line in TEXT.splitlines() if re.match(r"\s*[#$] [a-z.A-Z]+", line) and "](" not in line]


def run(*command: str, cwd: Path, **environment: str) -> str:
    """What a command prints."""
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def the_line(words: str) -> str:
    """The one command that has these words."""
    (found,) = [line for line in LINES if words in line]
    return found


def test_the_table_of_settings_is_current() -> None:
    """Or else: ``python tests/deploy/settings_table.py``."""
    assert with_table(TEXT) == TEXT


def test_the_token_of_the_guide_is_valid(tmp_path: Path) -> None:
    """The example, as it stands."""
    made = run(sys.executable, "-c", PYTHON[0], cwd=tmp_path, CHAT_KEY=KEY)
    session = verify_session(made, key=KEY)
    assert session is not None
    assert session.user == "ana"
    assert session.scopes == frozenset()


def test_the_token_of_the_command_is_valid(tmp_path: Path) -> None:
    """The one to try the deployment with."""
    line = the_line("TOKEN=").replace(".venv/bin/python", shlex.quote(sys.executable))
    made = run("bash", "-ec", f"{line}; echo $TOKEN", cwd=tmp_path, CHAT_KEY=KEY)
    assert verify_session(made, key=KEY) is not None


def test_the_token_for_a_program_may_notify(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command beside what it is for."""
    monkeypatch.setenv("CHAT_KEY", KEY)
    session = verify_session(token(shlex.split(the_line("--scope push").partition(" token ")[2])), key=KEY)
    assert session is not None
    assert session.scopes == {"push"}


async def say(broker: Broker, *words: str) -> Position:
    """Publish each; the position of the last."""
    return [await broker.publish("room:lobby", word) for word in words][-1]


async def check_that_the_client_is_told(broker: Broker, seen: Position) -> None:
    """It has seen what the restored log does not hold, also when that has grown beyond it."""
    for words in ((), ("four", "five", "six")):
        for word in words:
            await broker.publish("room:lobby", word)
        history = await broker.history("room:lobby", seen, limit=10)
        assert not history.complete
        assert [record.payload for record in history.records] == ["one", "two", *words]


@pytest.mark.skipif(os.name != "posix", reason="the guide is for Linux")
@pytest.mark.anyio
async def test_a_copy_can_be_restored(tmp_path: Path) -> None:
    """And no client mistakes later messages for those that it has seen."""
    (tmp_path / "data").mkdir()
    live, inboxes = (tmp_path / "data" / f"{name}.sqlite" for name in ("chat", "chat-inboxes"))

    async def live_on(*words: str) -> Position:
        async with LocalBroker(live) as broker, LocalBroker(inboxes):
            return await say(broker, *words)

    async def come_back(seen: Position) -> None:
        async with LocalBroker(live) as broker:
            await check_that_the_client_is_told(broker, seen)

    await live_on("one", "two")
    for words in ("mkdir -p backup", "cp data/"):
        run("bash", "-ec", the_line(words), cwd=tmp_path)
    seen = await live_on("three", "and four")
    shutil.rmtree(tmp_path / "data")
    shutil.copytree(tmp_path / "backup", tmp_path / "data")
    run(sys.executable, "-c", PYTHON[1], cwd=tmp_path)
    await come_back(seen)


@pytest.mark.skipif(Engine.missing() is not None, reason=str(Engine.missing()))
@pytest.mark.anyio
async def test_an_engine_can_be_restored(tmp_path: Path) -> None:
    """The same with a snapshot of Valkey."""
    if os.environ.get("VALKEY_URL"):
        pytest.skip("the engine is yours, and its data is not replaced")

    async def live_on(url: str) -> Position:
        async with open_broker(url) as broker:
            await say(broker, "one", "two")
            with redis.from_url(url) as client:
                client.save()
            return await say(broker, "three", "and four")

    async def come_back(url: str, seen: Position) -> None:
        async with open_broker(url) as broker:
            await check_that_the_client_is_told(broker, seen)

    with Engine(dir=str(tmp_path), dbfilename="dump.rdb") as engine:
        seen = await live_on(engine.url)
        engine.kill()
        engine.restart()
        run(sys.executable, "-c", PYTHON[2], cwd=tmp_path, CHAT_BROKER=engine.url)
        await come_back(engine.url, seen)


def test_the_files_to_back_up_are_where_it_says() -> None:
    """By the defaults of the command."""
    command = Command(demo_login=True)
    assert f"`{command.broker.partition(':')[2]}`" in TEXT
    assert f"`{command.inbox_url.partition(':')[2]}`" in TEXT


@pytest.mark.skipif(os.name != "posix", reason="the guide is for Linux")
def test_the_settings_get_a_key_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the third step writes is what the server takes."""
    (tmp_path / "chat").mkdir()
    for words in ("install -m 600", "sed -i"):
        run("bash", "-ec", the_line(words).replace("/etc/chat", str(tmp_path / "chat")), cwd=ROOT)
    file = tmp_path / "chat" / "chat.env"
    assert file.stat().st_mode & 0o777 == 0o600
    for name, value in re.findall(r"^(CHAT_\w+)=(.*)$", file.read_text(), re.M):
        monkeypatch.setenv(name, value)
    command = parse([])
    assert command.key is not None
    assert len(command.key.get_secret_value()) >= 32
    reading = the_line("sed -n").replace("/etc/chat", str(file.parent))
    shown = run("bash", "-ec", f"{reading}; echo $CHAT_KEY", cwd=ROOT)
    assert shown == command.key.get_secret_value()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_the_certificate_is_one(tmp_path: Path) -> None:
    """For the name in nginx.conf."""
    run("bash", "-ec", the_line("openssl req").replace("/etc/chat/tls", str(tmp_path)), cwd=tmp_path)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tmp_path / "fullchain.pem", tmp_path / "privkey.pem")


def test_every_flag_and_variable_exists() -> None:
    """Of the server, wherever it is called or set."""
    for line in LINES:
        _, called, flags = line.partition("-m server ")
        if called and not flags.startswith("token "):
            parse([*shlex.split(flags), "--key", KEY, "--broker", "memory:"])
    for name in re.findall(r"CHAT_([A-Z_]+)", TEXT.replace("CHAT_TLS", "")):
        assert name.lower() in Command.model_fields, name


def test_every_file_and_section_exists() -> None:
    """That it leads to."""
    for path in re.findall(r"\b((?:deploy|tests|benchmarks)/[\w./@-]+\w)", TEXT):
        assert (ROOT / path).exists() or (ROOT / f"{path}.example").exists(), path
    headings = {heading.lower().replace(" ", "-") for heading in re.findall(r"^## (.+)$", TEXT, re.M)}
    for anchor in re.findall(r"\]\(#([\w-]+)\)", TEXT):
        assert anchor in headings, anchor


def test_the_limits_are_settings() -> None:
    """Each in the table of what happens beyond it."""
    section = TEXT.partition("## Limits")[2].partition("\n## ")[0]
    for row in re.findall(r"^\| (`.+?) \|", section, re.M):
        for name in re.findall(r"`(\w+)`", row):
            assert name in Command.model_fields, name


def test_every_metric_exists() -> None:
    """That an alert is made of."""
    source = (ROOT / "server" / "app" / "metrics.py").read_text()
    for name in re.findall(r"\bchat_[a-z_]+", TEXT.partition("## Health")[2].partition("## Logs")[0]):
        assert f'"{name.removesuffix("_total")}"' in source, name
