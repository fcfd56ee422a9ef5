"""Rules for how much a reader has to hold in the head at once: each yields a sentence for what breaks it.

They hold for the lessons, and for what lies deeper; `form` says which hold where.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from statistics import median

from .cells import parsed
from .execute import unfenced
from .lesson import Cell, Lesson, tags

__all__ = ["BLOCK", "DENSITY", "prose_words"]

NODES = (30, 90, 150)  # of syntax in a code cell: in the median, in nine of ten, in each
CLEVER = 2  # constructs in 100 lines that a junior has to decode
WORDS = 10  # of prose for each line of code
COLUMNS = 85
LINES = 12  # of a code cell, in nine of ten
IMPORTS = 3  # statements in the first code cell
NEW_NAMES = 3  # from lab and server in a section

BLOCK = re.compile(r"\A> \*\*Predict\.\*\* ")
CHOICE = re.compile(r"^(?:> | *)- \*\*([a-d])\*\* \S", re.MULTILINE)
FOLDED = re.compile(r"<details>\s*<summary>.+?</summary>.+?</details>", re.DOTALL)
TOOLS = {"partial", "nullcontext", "ExitStack", "AsyncExitStack", "takewhile", "accumulate", "reduce", "chain"}

Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


def small_cells(lesson: Lesson) -> Iterator[str]:
    """A code cell has at most 30 nodes of syntax in the median, 90 in nine of ten, 150 in each; and 12 lines."""
    cells = {cell.id: sum(1 for _ in ast.walk(parsed(cell))) for cell in _working(lesson)}
    sizes = sorted(cells.values()) or [0]
    if (middle := median(sizes)) > NODES[0]:
        yield f"the median is {middle} nodes"
    if (most := sizes[_nine_of_ten(sizes)]) > NODES[1]:
        yield f"nine of ten code cells have up to {most} nodes"
    yield from (f"{name} has {size} nodes" for name, size in cells.items() if size > NODES[2])
    lines = sorted(len(_lines(cell)) for cell in _working(lesson)) or [0]
    if (most := lines[_nine_of_ten(lines)]) > LINES:
        yield f"nine of ten code cells have up to {most} lines"


def plain_code(lesson: Lesson) -> Iterator[str]:
    """At most 2 in 100 lines of code have a construct that a junior would have to decode."""
    found = [what for cell in _working(lesson) for node in ast.walk(parsed(cell)) if (what := _clever(node))]
    lines = sum(len(_lines(cell)) for cell in _working(lesson))
    if 100 * len(found) > CLEVER * lines:
        yield f"{len(found)} in {lines} lines: {', '.join(found)}"


def _clever(node: ast.AST) -> str:
    """What is clever about a node, or nothing."""
    called = getattr(getattr(node, "func", None), "id", getattr(getattr(node, "func", None), "attr", ""))
    found = {
        "walrus": isinstance(node, ast.NamedExpr),
        "lambda": isinstance(node, ast.Lambda),
        "conditional": isinstance(node, ast.IfExp),
        "star": isinstance(node, ast.Starred) and isinstance(node.ctx, ast.Load),
        "nested comprehension": isinstance(node, Comprehension) and _nested(node),
        called: called in TOOLS or (called == "iter" and len(getattr(node, "args", [])) == 2),
        "tuple": isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple) and len(node.value.elts) > 1,
        "several in one with": isinstance(node, ast.With | ast.AsyncWith) and len(node.items) > 1,
    }
    return next((what for what, is_so in found.items() if is_so), "")


def _nested(node: Comprehension) -> bool:
    inner = (one for child in ast.iter_child_nodes(node) for one in ast.walk(child))
    return len(node.generators) > 1 or any(isinstance(one, Comprehension) for one in inner)


def short_lines(lesson: Lesson) -> Iterator[str]:
    """No line of code is wider than 85 characters."""
    for cell in lesson.code:
        yield from (f"{cell.id}: {line}" for line in cell.source.splitlines() if len(line) > COLUMNS)


def prose_for_the_code(lesson: Lesson) -> Iterator[str]:
    """There are 10 words of prose for each line of code."""
    words = sum(prose_words(cell.source) for cell in lesson.prose)
    lines = sum(len(_lines(cell)) for cell in _working(lesson))
    if words < WORDS * lines:
        yield f"{words} words, {lines} lines"


def few_imports_first(lesson: Lesson) -> Iterator[str]:
    """The first code cell imports next to nothing."""
    if lesson.code and (count := len(_imports(lesson.code[0]))) > IMPORTS:
        yield f"{lesson.code[0].id} has {count} imports"


def imports_at_first_use(lesson: Lesson) -> Iterator[str]:
    """A name is imported in the cell that uses it, or in the one before."""
    for index, cell in enumerate(lesson.code):
        near = {
            node.id
            for one in lesson.code[index : index + 2]
            for node in ast.walk(parsed(one))
            if isinstance(node, ast.Name)
        }
        names = {name for statement in _imports(cell) for name in _bound(statement)}
        yield from (f"{cell.id} imports {name} and does not use it yet" for name in sorted(names - near))


def new_names(lesson: Lesson) -> Iterator[str]:
    """A section brings at most three new names from lab and server, and its prose says what each is."""
    known: set[str] = set()
    for section in lesson.sections:
        new = {name for cell in section.code for name in _ours(cell)} - known
        known |= new
        if len(new) > NEW_NAMES:
            yield f"'{section.title}' brings {', '.join(sorted(new))}"
        prose = "\n".join(part.prose for part in lesson.sections[: lesson.sections.index(section) + 1])
        yield from (f"'{section.title}' does not introduce {name}" for name in sorted(new) if f"`{name}" not in prose)


def predictions_are_blocks(lesson: Lesson) -> Iterator[str]:
    """Each prediction is a cell of its own: a question, two to four choices, and a folded explanation."""
    blocks = [cell for cell in lesson.prose if BLOCK.search(cell.source)]
    if len(blocks) < 3:
        yield f"{len(blocks)} predictions"
    for cell in lesson.prose:
        if cell not in blocks and "**Predict" in cell.source:
            yield f"{cell.id} has a prediction that is no block of its own"
    for cell in blocks:
        if not 2 <= len(CHOICE.findall(cell.source)) <= 4:
            yield f"{cell.id} has {len(CHOICE.findall(cell.source))} choices"
        if len(FOLDED.findall(cell.source)) != 1:
            yield f"{cell.id} has no folded explanation"


def quiz_has_choices(lesson: Lesson) -> Iterator[str]:
    """Each question of the quiz has choices, and a folded answer that says why."""
    quiz = lesson.section("quiz").prose
    for number, question in enumerate(FOLDED.split(quiz)[:-1], 1):
        if len(CHOICE.findall(question)) < 2:
            yield f"question {number} has no choices"
    if not FOLDED.search(quiz):
        yield "no folded answer"


def prose_words(source: str) -> int:
    """How many words of prose there are, without code, tables, headings and pictures."""
    kept = [line for line in unfenced(source).splitlines() if not line.lstrip().startswith(("|", "#", "!", "<"))]
    return len(re.findall(r"[A-Za-z][A-Za-z'-]*", re.sub(r"`[^`]*`", "code", "\n".join(kept))))


def _working(lesson: Lesson) -> list[Cell]:
    """The code cells that do more than import."""
    return [cell for cell in lesson.code if _lines(cell) and len(_imports(cell)) < len(parsed(cell).body)]


def _lines(cell: Cell) -> list[str]:
    return [line for line in cell.source.splitlines() if line.strip() and not line.strip().startswith("#")]


def _nine_of_ten(numbers: list[int]) -> int:
    return int(0.9 * (len(numbers) - 1))


def _imports(cell: Cell) -> list[ast.Import | ast.ImportFrom]:
    return [node for node in parsed(cell).body if isinstance(node, ast.Import | ast.ImportFrom)]


def _bound(statement: ast.Import | ast.ImportFrom) -> list[str]:
    return [(one.asname or one.name).partition(".")[0] for one in statement.names]


def _ours(cell: Cell) -> Iterator[str]:
    """The names from lab and server, without those of the checks."""
    for statement in _imports(cell):
        module = statement.module or "" if isinstance(statement, ast.ImportFrom) else ""
        if module.partition(".")[0] in {"lab", "server"} and "checks" not in module and "check" not in tags(cell):
            yield from _bound(statement)


DENSITY = (
    small_cells,
    plain_code,
    short_lines,
    prose_for_the_code,
    few_imports_first,
    imports_at_first_use,
    new_names,
    predictions_are_blocks,
    quiz_has_choices,
)
