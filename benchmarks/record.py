"""What a benchmark has measured, in a file beside its command: date, commit, versions, sources, and the tables.

README and the operator's guide show these tables between two marks, written by ``python -m benchmarks.readme``. A
test fails if a page differs from the record, or if the sources of a record have changed since it was measured.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

__all__ = ["RESULTS", "ROOT", "Record", "Table", "digest", "files", "load", "save"]

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("fastapi", "starlette", "uvicorn", "websockets", "pydantic")


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table, as it is shown."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    """What has to be known to read it."""

    def markdown(self) -> str:
        """Return the table in Markdown; numbers are aligned to the right."""
        rule = ["---", *["---:"] * (len(self.head) - 1)]
        lines = ["| " + " | ".join(line) + " |" for line in (self.head, rule, *self.rows)]
        return "\n".join([*lines, *(["", self.note] if self.note else [])])


@dataclass(frozen=True, kw_only=True)
class Record:
    """One run of one benchmark."""

    command: str
    """What was run, from the top of the project."""
    date: str
    commit: str
    """The commit that was checked out; "+" says that files had been changed since."""
    machine: str
    versions: dict[str, str]
    sources: list[str]
    """The files and folders that the figures depend on."""
    digest: str
    """`digest` of the sources when it was measured."""
    tables: dict[str, Table]

    def origin(self) -> str:
        """Return the sentence below a table that says where its figures come from."""
        versions = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        return f"`{self.command}` · {self.date} · commit {self.commit} · {self.machine} · {versions}"


def save(
    name: str, *, command: str, sources: Iterable[str], tables: dict[str, Table], folder: Path = RESULTS
) -> Record:
    """Write the record of a run to ``NAME.json`` in `folder`, and return it."""
    sources = sorted(sources)
    record = Record(
        command=command,
        date=datetime.now(UTC).date().isoformat(),
        commit=_commit(),
        machine=f"{platform.system()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        versions={library: version(library) for library in LIBRARIES},
        sources=sources,
        digest=digest(sources),
        tables=tables,
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(asdict(record), indent=1, ensure_ascii=False) + "\n")
    return record


def load(name: str, folder: Path = RESULTS) -> Record:
    """Read the record that `save` has written.

    Raises:
        FileNotFoundError: if the benchmark was never measured.
    """
    fields = json.loads((folder / f"{name}.json").read_text())
    fields["tables"] = {title: Table(**table) for title, table in fields["tables"].items()}
    return Record(**fields)


def digest(sources: Iterable[str]) -> str:
    """Return a hash of what the sources do: of their syntax, without comments, docstrings and layout.

    It is the same under every Python that this project supports.
    """
    total = hashlib.sha256()
    for path in files(sources):
        total.update(path.relative_to(ROOT).as_posix().encode())
        text = path.read_text()
        total.update(_code(text).encode() if path.suffix == ".py" else text.encode())
    return total.hexdigest()[:16]


def files(sources: Iterable[str]) -> list[Path]:
    """Return the files that are named, and those in the folders that are named, in order.

    Raises:
        FileNotFoundError: if a source does not exist.
    """
    found: set[Path] = set()
    for source in sources:
        path = ROOT / source
        if not path.exists():
            raise FileNotFoundError(f"there is no {source!r}; correct the benchmark's list of sources")
        found |= {path} if path.is_file() else set(path.rglob("*.py"))
    return sorted(found)


def _code(text: str) -> str:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):  # Python 3.12.1 has empty texts in some
            node.values = [part for part in node.values if not isinstance(part, ast.Constant) or part.value]
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [part for part in node.body if not _is_text(part)] or [ast.Pass()]
    return _written(tree)


def _written(node: object) -> str:
    """Return a syntax tree as text.

    `ast.unparse` writes an f-string in other quotes from Python 3.12 on, and `ast.dump` has fields that are empty in
    some versions and missing in others. So the empty ones are left out.
    """
    if isinstance(node, list):
        return f"[{', '.join(map(_written, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = [f"{name}={_written(value)}" for name, value in ast.iter_fields(node) if value is not None and value != []]
    return f"{type(node).__name__}({', '.join(fields)})"


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _commit() -> str:
    try:
        commit = _git("rev-parse", "--short=10", "HEAD")
        return commit + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout.strip()
