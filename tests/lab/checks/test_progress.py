"""What is solved is remembered beside the lessons: by the reader only, from any kernel, and through any trouble."""

from __future__ import annotations

import ast
import base64
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lab
import nbformat
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel
from lab import progress as show
from lab.checks import EXERCISES
from lab.checks.handshake import GUID, check_accept_value
from lab.checks.progress import Progress, forget_progress, progress, progress_file, remember
from lab.checks.verdict import judged

NOTEBOOKS = Path(lab.__file__).parents[1]


def accept_value(key: str) -> str:
    """What a reader answers to the first exercise."""
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of this test's own, that is not there yet."""
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "kept.json"))
    monkeypatch.setattr(sys.modules["lab.checks.progress"], "_told", set())
    return tmp_path / "kept.json"


def solved() -> list[str]:
    """The checks that are remembered."""
    return [check for checks in progress().known().values() for check in checks]


def test_a_check_that_passes_is_remembered_until_it_is_forgotten(file: Path) -> None:
    """Not before it passes; and a later answer that fails takes nothing back."""
    assert not check_accept_value(lambda key: key)
    assert not file.exists()
    assert check_accept_value(accept_value)
    assert not check_accept_value(lambda key: key)
    assert json.loads(file.read_bytes()) == {"lessons": {"01-handshake": {"check_accept_value": True}}}
    assert solved() == ["check_accept_value"]
    assert not forget_progress().lessons
    assert [path.name for path in file.parent.iterdir() if not path.name.endswith(".lock")] == []


def test_an_answer_of_the_lesson_does_not_count(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a function with such a name, nor one that the notebook keeps under such a name."""

    def solved_accept_value(key: str) -> str:
        return accept_value(key)

    assert check_accept_value(solved_accept_value)
    monkeypatch.setattr(sys.modules["__main__"], "solved_it", accept_value, raising=False)
    assert check_accept_value(accept_value)
    assert not file.exists()


def test_a_check_of_somebody_else_does_not_count(file: Path) -> None:
    """It may have the name of one of ours."""

    @judged("all is well")
    def check_accept_value(answer: Any) -> None:
        """Pass every answer."""

    assert check_accept_value(accept_value)
    assert not file.exists()


def test_kernels_at_the_same_time_lose_nothing(file: Path) -> None:
    """Each adds to what the others have written, and a reader always sees a complete file."""
    everything = [(lesson, check) for lesson, checks in EXERCISES.items() for check in checks]

    def note(exercise: tuple[str, str]) -> str:
        remember("lab.checks.any", exercise[1], accept_value)
        return progress().note

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(note, everything)) == {""}
    assert solved() == [check for _, check in everything]


@pytest.mark.parametrize("content", ["", '{"lessons": {"01', '{"lessons": {"01-handshake": 7}}', "\udcff", "[]"])
def test_a_file_that_cannot_be_read_is_set_aside(file: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is kept under another name, one sentence says so, and remembering begins anew."""
    before = content.encode(errors="surrogateescape")
    file.write_bytes(before)
    assert "cannot be read" in str(progress())
    assert check_accept_value(accept_value)
    assert "kept.json could not be read and begins anew" in capsys.readouterr().out
    assert file.with_name("kept.json.broken").read_bytes() == before
    assert solved() == ["check_accept_value"]


def test_a_folder_that_cannot_be_written_stops_nothing(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The check passes, and one sentence says once that it is not remembered."""
    file.write_text("a file where a folder is wanted")
    monkeypatch.setenv("COURSE_PROGRESS", str(file / "kept.json"))
    assert check_accept_value(accept_value)
    assert check_accept_value(accept_value)
    assert capsys.readouterr().out.count("not remembered") == 1
    assert progress().note
    assert forget_progress().note


def test_it_can_be_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty name means nowhere, even in the folder of the lessons."""
    (tmp_path / "01-handshake.ipynb").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSE_PROGRESS", "")
    assert check_accept_value(accept_value)
    assert "nothing is remembered here" in str(progress())
    assert [path.name for path in tmp_path.iterdir()] == ["01-handshake.ipynb"]


def test_it_lies_beside_the_lessons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside those that the kernel was started with, so that each user of one installation has a file."""
    (tmp_path / "01-handshake.ipynb").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COURSE_PROGRESS")
    assert check_accept_value(accept_value)
    assert (tmp_path / ".progress.json").exists()
    monkeypatch.chdir("/")
    assert progress_file() == NOTEBOOKS / ".progress.json"


def test_the_table_shows_every_exercise() -> None:
    """As text, and as a table with the names of the exercises; a note is shown below, as text."""
    one = Progress({"01-handshake": {"check_refusal": True}, "99-other": {"check_x": True}}, note="a < b")
    first, lesson, *_, last = str(one).splitlines()
    assert first == "1 of 15 exercises solved (✓)"
    assert lesson.split() == ["01-handshake", "·", "·", "✓"]
    assert last == "a < b"
    page = one._repr_html_()
    assert "✓ The password, please" in page
    assert "· Shout" in page
    assert "a &lt; b" in page
    assert show is progress


def test_the_exercises_are_those_of_the_lessons() -> None:
    """Their order, their names and their checks; and every solution has a name that tells it from an answer."""
    found = {}
    for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        titles = [t for c in cells for t in re.findall(r"^### Exercise \d · (.+)$", c.source, re.M)]
        checks = [call for cell in cells if "check" in cell.metadata.get("tags", ()) for call in _checks(cell.source)]
        given = [call for cell in cells if "solution" in cell.metadata.get("tags", ()) for call in _checks(cell.source)]
        found[path.stem] = dict(zip([check for check, _ in checks], titles, strict=True))
        assert given == [(check, f"solved_{answer}") for check, answer in checks]
    assert found == EXERCISES


def _checks(source: str) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("check_"):
            yield ast.unparse(node.func), ast.unparse(node.args[0])


def test_in_a_kernel_the_solutions_leave_nothing_and_an_answer_does(file: Path) -> None:
    """Lesson 01 has a solution that is an app and has no name of its own."""
    cells = nbformat.read(NOTEBOOKS / "01-handshake.ipynb", as_version=4).cells
    lines = [line for cell in cells if cell.cell_type == "code" for line in cell.source.splitlines()]
    imports = [line for line in lines if line.startswith(("import ", "from "))]
    code = ["\n".join(imports), f"guid = {GUID!r}"]
    code += [cell.source for cell in cells if "solution" in cell.metadata.get("tags", ()) and "def " in cell.source]
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(NOTEBOOKS))
    try:
        said = [_run(client, cell) for cell in code]
        assert sum("passed" in one for one in said) == len(EXERCISES["01-handshake"])
        assert not file.exists()
        assert "passed" in _run(client, "answer = lambda key: solved_accept_value(key)\ncheck_accept_value(answer)")
        assert solved() == ["check_accept_value"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def _run(client: BlockingKernelClient, code: str) -> str:
    said: list[str] = []

    def hear(message: dict[str, Any]) -> None:
        content = message["content"]
        said.append(content.get("text") or content.get("data", {}).get("text/plain") or content.get("evalue", ""))

    client.execute_interactive(code, timeout=20, output_hook=hear)
    return "".join(said)
