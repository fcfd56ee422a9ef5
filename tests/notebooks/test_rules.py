"""Each lesson keeps each rule, and each rule can be broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import v4

from .cells import CELLS
from .density import DENSITY
from .form import DEEP, FORM, rules_for
from .lesson import DEEPER, LESSONS, Lesson
from .outputs import OUTPUTS

Rule = Callable[[Lesson], Iterator[str]]

RULES: tuple[Rule, ...] = tuple(dict.fromkeys((*FORM, *DENSITY, *DEEP, *CELLS, *OUTPUTS)))
KEPT = [(path, rule) for path in (*LESSONS, *DEEPER) for rule in (*rules_for(path), *CELLS, *OUTPUTS)]


@pytest.mark.parametrize(("path", "rule"), KEPT, ids=[f"{path.stem}-{rule.__name__}" for path, rule in KEPT])
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
    _shown("import a\nimport b\nimport c\nimport d\nprint(a, b, c, d)"),
    _shown("from os import *\nprint('loud')"),
    _shown("time.sleep(1)\nclient.recv()\n" + "pass\n" * 30),
    _shown("try:\n    1 / 0\nexcept Exception:\n    pass", _stream("oops", "stderr")),
    v4.new_markdown_cell("## Twice\n\n<svg></svg>"),
    _shown("answer = 1", tags=("exercise",)),
    v4.new_markdown_cell("## Twice\n\nin /home/me/course"),
    _shown("answer = 2", _stream("ws://127.0.0.1:43117/ws"), tags=("solution", "nbval-ignore-output")),
    _shown("from lab.observe.census import census\nfrom lab.checks.harness.trial import Trial"),
    _shown(
        "plot()",
        v4.new_output("display_data", data={"image/png": "", "text/plain": "<Figure>"}),
        tags=("nbval-ignore-output", "nbval-skip"),
    ),
    v4.new_markdown_cell("> **Predict.** What comes?"),
    _shown(
        "import json\nfrom lab import Tap, census, expect, sequence\nshown = (lambda: [1 for _ in 'a' for _ in 'b'])()"
    ),
    _shown("numbers = [" + ", ".join(map(str, range(200))) + "]"),
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
        ("from lab import Tap", False),
        ("from lab.checks.echo import check_shout", False),
        ("from lab.tap.tap import Tap", True),
        ("import lab.tap.tap as tap", True),
        ("from lab.checks.harness.trial import Trial", True),
        ("%matplotlib inline", False),
    ],
)
def test_rules_of_the_code_tell_good_from_bad(source: str, broken: bool, tmp_path: Path) -> None:
    """What a handler does by right is no mistake, what hides or hangs is."""
    path = tmp_path / "99-code.ipynb"
    cells = [_shown("import asyncio"), _shown(source)]
    path.write_text(nbformat.writes(v4.new_notebook(cells=cells)), encoding="utf-8")
    assert any(list(rule(Lesson(path))) for rule in CELLS) is broken
