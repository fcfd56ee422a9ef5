"""A temporary folder is gone with its process, or soon after."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from lab.servers.temporary import PREFIX, YOUNG, TemporaryDirectory


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's folder for temporary ones, here of each test."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def folders(home: Path) -> list[str]:
    """What lies there."""
    return [path.name for path in home.glob(f"{PREFIX}*")]


def age(folder: Path) -> None:
    """Make it look older than one that is just being made."""
    old = folder.stat().st_mtime - 2 * YOUNG
    os.utime(folder, (old, old))


def other() -> tuple[subprocess.Popen[str], Path]:
    """Another process and its folder, in which there is a file."""
    script = (
        "import sys; from lab.servers.temporary import TemporaryDirectory; f = TemporaryDirectory();"
        "open(f'{f.name}/log.sqlite', 'w').close(); print(f.name, flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_it_is_gone_at_the_end_of_its_block(home: Path) -> None:
    """It is Python's own otherwise: a path, empty but for its lock."""
    with TemporaryDirectory() as name:
        Path(name, "log.sqlite").touch()
        assert folders(home) == [Path(name).name]
    assert folders(home) == []


def test_it_is_gone_when_its_process_ends_in_order(home: Path) -> None:
    """Also one that was not closed."""
    process, folder = other()
    assert folder.is_dir()
    process.communicate(timeout=100)
    assert not folder.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
def test_what_a_killed_process_left_is_removed_by_the_next(home: Path) -> None:
    """The folder of a living process stays, however old it is."""
    (killed, lost), (living, kept) = other(), other()
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=100)
    age(lost)
    age(kept)
    assert sorted(folders(home)) == sorted([lost.name, kept.name])
    with TemporaryDirectory() as name:
        assert sorted(folders(home)) == sorted([kept.name, Path(name).name])
        assert (kept / "log.sqlite").is_file()
    living.communicate(timeout=100)
    assert folders(home) == []


def test_what_is_just_being_made_or_is_no_folder_is_left(home: Path) -> None:
    """A symbolic link that another user has made is not followed."""
    (home / f"{PREFIX}young").mkdir()
    (home / "elsewhere").mkdir()
    (home / "elsewhere" / ".owner").write_text("a file of somebody's")
    age(home / "elsewhere")
    (home / f"{PREFIX}link").symlink_to(home / "elsewhere")
    TemporaryDirectory().cleanup()
    assert sorted(folders(home)) == [f"{PREFIX}link", f"{PREFIX}young"]
    assert (home / "elsewhere" / ".owner").read_text() == "a file of somebody's"
