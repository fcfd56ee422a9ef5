"""Each lesson keeps each rule, and each rule can be broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import v4

from .cells import CELLS
from .form import FORM
from .lesson import LESSONS, Lesson
from .outputs import OUTPUTS

Rule = Callable[[Lesson], Iterator[str]]

RULES: tuple[Rule, ...] = (*FORM, *CELLS, *OUTPUTS)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_lesson_keeps_the_rule(path: Path, rule: Rule) -> None:
    """The lesson is made as every lesson of the course is made."""
    problems = list(rule(Lesson(path)))
    assert not problems, f"{rule.__doc__} But: {'; '.join(problems)}"


def _shown(source: str, *outputs: Any, tags: tuple[str, ...] = ()) -> Any:
    return v4.new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})


def _stream(text: str, name: str = "stdout") -> Any:
    return v4.new_output("stream", name=name, text=text)


BAD = [
    v4.new_markdown_cell("# A lesson"),
    _shown("from os import *\nprint('loud')"),
    _shown("time.sleep(1)\nclient.recv()\n" + "pass\n" * 30),
    _shown("try:\n    1 / 0\nexcept Exception:\n    pass", _stream("oops", "stderr")),
    v4.new_markdown_cell("## Twice\n\n<svg></svg>"),
    _shown("answer = 1", tags=("exercise",)),
    v4.new_markdown_cell("## Twice\n\nin /home/me/course"),
    _shown("answer = 2", _stream("ws://127.0.0.1:43117/ws"), tags=("solution", "nbval-ignore-output")),
    _shown("plot()", tags=("nbval-ignore-output", "nbval-skip")),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_is_broken_by_a_bad_notebook(rule: Rule, tmp_path: Path) -> None:
    """A rule that no notebook can break would check nothing."""
    path = tmp_path / "99-bad.ipynb"
    path.write_text(nbformat.writes(v4.new_notebook(cells=BAD)), encoding="utf-8")
    assert list(rule(Lesson(path)))


@pytest.mark.parametrize(
    ("source", "broken"),
    [
        ("try:\n    ask()\nexcept WebSocketDisconnect:\n    pass", False),
        ("try:\n    ask()\nexcept (KeyError, WebSocketDisconnect):\n    pass", True),
        ("try:\n    ask()\nexcept:\n    print('hidden')", True),
        ("try:\n    ask()\nexcept ValueError as error:\n    reply(error)", False),
        ("with suppress(asyncio.CancelledError):\n    await writer", False),
        ("with suppress(Exception):\n    await writer", True),
        ("await asyncio.sleep(0.3)", True),
        ("def poll():\n    time.sleep(0.3)", True),
        ("async def handler(websocket):\n    await asyncio.sleep(30)", False),
        ("ready.wait()", True),
        ("ready.wait(timeout=5)", False),
        ("await task.wait()", False),
        ("', '.join(names)", False),
        ("%matplotlib inline", False),
    ],
)
def test_rules_of_the_code_tell_good_from_bad(source: str, broken: bool, tmp_path: Path) -> None:
    """What a handler does by right is no mistake, what hides or hangs is."""
    path = tmp_path / "99-code.ipynb"
    cells = [_shown("import asyncio"), _shown(source)]
    path.write_text(nbformat.writes(v4.new_notebook(cells=cells)), encoding="utf-8")
    assert any(list(rule(Lesson(path))) for rule in CELLS) is broken
