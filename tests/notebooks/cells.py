"""Rules for the code of a lesson: each yields a sentence for what breaks it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from IPython.core.inputtransformer2 import TransformerManager

from .lesson import Cell, Lesson

__all__ = ["CELLS", "parsed", "top_level_names"]

# the end of a conversation, and of a task that was cancelled, may pass in silence
QUIET = {"WebSocketDisconnect", "ConnectionClosed", "ConnectionClosedOK", "CancelledError"}
WAITS = {"recv", "wait", "join", "result"}
WRITES_A_FILE = re.compile(r"\A%%writefile (?:-a )?\S+\.py\n")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def no_star_imports(lesson: Lesson) -> Iterator[str]:
    """Every imported name is named."""
    for cell in lesson.code:
        if any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in ast.walk(parsed(cell))):
            yield f"{cell.id} imports *"


def lab_has_one_door(lesson: Lesson) -> Iterator[str]:
    """Instruments come from `lab`, checks from the module of their lesson in `lab.checks`."""
    for cell in lesson.code:
        for node in ast.walk(parsed(cell)):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for module in modules:
                if module.startswith("lab.") and not re.fullmatch(r"lab\.checks\.\w+", module):
                    yield f"{cell.id} imports from {module}"


def nothing_swallowed(lesson: Lesson) -> Iterator[str]:
    """No exception is hidden: a deliberate one is expected, an accidental one is seen."""
    for cell in lesson.code:
        for node in ast.walk(parsed(cell)):
            if isinstance(node, ast.ExceptHandler) and _hides(node):
                yield f"{cell.id} swallows {ast.unparse(node.type) if node.type else 'everything'}"
            if isinstance(node, ast.Call) and _name(node.func) == "suppress" and not _quiet(node.args):
                yield f"{cell.id} suppresses {', '.join(map(ast.unparse, node.args))}"


def _hides(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    idle = all(isinstance(node, ast.Pass | ast.Continue) for node in handler.body)
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return idle and not _quiet(kinds)


def _quiet(kinds: list[ast.expr]) -> bool:
    return all(_name(kind) in QUIET for kind in kinds)


def no_sleep_as_synchronisation(lesson: Lesson) -> Iterator[str]:
    """Only coroutines sleep: a cell waits for what it needs."""
    for cell in lesson.code:
        for call, inside in _calls(parsed(cell)):
            if _name(call.func) == "sleep" and not isinstance(inside, ast.AsyncFunctionDef):
                yield f"{cell.id} waits with {ast.unparse(call)}"


def every_wait_has_a_deadline(lesson: Lesson) -> Iterator[str]:
    """A blocking wait has a timeout, so that a failing server cannot hang the kernel."""
    for cell in lesson.code:
        if WRITES_A_FILE.match(cell.source):  # a test in it runs in a process of its own, which has a deadline
            continue
        tree = parsed(cell)
        awaited = {node.value for node in ast.walk(tree) if isinstance(node, ast.Await)}
        for call, _ in _calls(tree):
            bare = isinstance(call.func, ast.Attribute) and not call.args and not call.keywords
            if bare and _name(call.func) in WAITS and call not in awaited:
                yield f"{cell.id} may wait for ever in {ast.unparse(call)}"


def _calls(node: ast.AST, inside: Function | None = None) -> Iterator[tuple[ast.Call, Function | None]]:
    """Each call, and the function that it is written in."""
    if isinstance(node, ast.Call):
        yield node, inside
    for child in ast.iter_child_nodes(node):
        yield from _calls(child, node if isinstance(node, Function) else inside)


def top_level_names(cell: Cell) -> set[str]:
    """The names of all functions that the cell itself calls, not those that its functions call."""
    return {_name(call.func) for call, inside in _calls(parsed(cell)) if inside is None}


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def parsed(cell: Cell) -> ast.Module:
    """Return the syntax of a cell, whatever IPython allows in it; of a file that it writes, the syntax of the file."""
    source = WRITES_A_FILE.sub("", cell.source)
    code = TransformerManager().transform_cell(source)  # type: ignore[no-untyped-call]
    tree = compile(code, cell.id, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    assert isinstance(tree, ast.Module)
    return tree


CELLS = (no_star_imports, lab_has_one_door, nothing_swallowed, no_sleep_as_synchronisation, every_wait_has_a_deadline)
