"""deploy/chat@.service and deploy/chat.env.example: what systemd accepts, and settings that exist."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from server.errors import StartError
from server.run.cli import Command, parse

DEPLOY = Path(__file__).parents[2] / "deploy"
UNIT = (DEPLOY / "chat@.service").read_text()
EXAMPLE = (DEPLOY / "chat.env.example").read_text()
ASSIGNMENTS: list[tuple[str, str, str]] = re.findall(r"^(#?)CHAT_([A-Z_]+)=(.*)$", EXAMPLE, re.M)


@pytest.fixture(autouse=True)
def as_in_the_example(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment has what the example sets, and nothing else of ours."""
    for name in os.environ:
        if name.startswith("CHAT_"):
            monkeypatch.delenv(name)
    for is_comment, name, value in ASSIGNMENTS:
        if not is_comment:
            monkeypatch.setenv(f"CHAT_{name}", value)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """Every option, with a Python that exists, and well within what it calls safe."""
    unit = tmp_path / "chat@8001.service"
    unit.write_text(UNIT.replace("/opt/chat/.venv/bin/python", sys.executable))
    verified = run("systemd-analyze", "verify", str(unit))
    assert unit.name not in verified.stderr
    assert verified.returncode == 0, verified.stderr
    judged = run("systemd-analyze", "security", "--offline=true", "--threshold=20", str(unit))
    assert judged.returncode == 0, judged.stdout


def test_the_unit_starts_the_server_with_flags_that_exist() -> None:
    """One for each port, and no time-out before the drain is over."""
    line = re.search(r"^ExecStart=(.+)$", UNIT, re.M)
    assert line is not None
    program, option, module, *flags = shlex.split(line[1].replace("%i", "8001"))
    assert (program, option, module) == ("/opt/chat/.venv/bin/python", "-m", "server")
    command = parse([*flags, "--demo-login"] if os.environ["CHAT_KEY"] else [*flags, "--key", "x" * 32])
    assert command.port == 8001
    patience = re.search(r"^TimeoutStopSec=(\d+)$", UNIT, re.M)
    assert patience is not None
    assert int(patience[1]) > command.drain_seconds


def test_the_example_names_settings_that_exist() -> None:
    """Each one; and what is commented out is the default."""
    command = Command(key="x" * 32)  # type: ignore[arg-type]
    assert len(ASSIGNMENTS) > 5
    for is_comment, name, value in ASSIGNMENTS:
        assert name.lower() in Command.model_fields, name
        if is_comment:
            default = Command.model_fields[name.lower()].default
            shown = list(default) if isinstance(default, tuple) else default
            assert str(shown) == value, name
    assert command.log_format == "json"


def test_the_example_without_a_key_is_refused() -> None:
    """The example has no key, so that no server runs with a public one."""
    with pytest.raises(StartError, match="key"):
        parse([])
