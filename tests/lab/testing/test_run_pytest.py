"""pytest in a process of its own, and a report that is the same in each run."""

from __future__ import annotations

from pathlib import Path

import pytest
from lab.testing.run_pytest import _report, run_pytest

TEST = """
import time

def test_good():
    pass

def test_bad():
    assert 1 + 1 == 3
"""
PRINTED = """\
test_sums.py::test_good PASSED
test_sums.py::test_bad FAILED
FAILED test_sums.py::test_bad - assert (1 + 1) == 3
1 failed, 1 passed
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_report_has_no_seconds_and_no_paths(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor does it depend on variables of this machine."""
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")
    (folder / "test_sums.py").write_text(TEST)
    run_pytest("test_sums.py")
    assert capsys.readouterr().out == PRINTED
    assert [path.name for path in folder.iterdir()] == ["test_sums.py"]


def test_what_hangs_is_stopped(folder: Path) -> None:
    """The error names the time and the remedy."""
    (folder / "test_hangs.py").write_text("import threading\n\ndef test_hangs():\n    threading.Event().wait(60)\n")
    with pytest.raises(TimeoutError, match=r"did not finish within 1.5 s; a test hangs: give it a deadline"):
        run_pytest("test_hangs.py", timeout=1.5)


def test_what_pytest_cannot_do_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that isn't there is an error of pytest's own, on its other output."""
    run_pytest("test_missing.py")
    assert "file or directory not found: test_missing.py" in capsys.readouterr().out


def test_report_leaves_the_ports_out() -> None:
    """They differ from run to run."""
    assert _report("refused by 127.0.0.1:43117\n== 1 failed in 0.31s ==") == "refused by 127.0.0.1:…\n1 failed"
