"""Write the tables of the newest records into the pages that show them: ``python -m benchmarks.readme``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.record import ROOT, load

__all__ = ["PAGES", "filled", "main", "marked"]

PAGES = (Path("README.md"), Path("server/README.md"))
MARKED = re.compile(r"<!-- benchmark: (?P<name>\w+) (?P<table>\w+) -->\n.*?<!-- end of benchmark -->", re.DOTALL)


def marked(text: str) -> Iterator[str]:
    """Yield the name of each record that a page shows a table of."""
    yield from (found["name"] for found in MARKED.finditer(text))


def filled(text: str) -> str:
    """Return the page with the tables of the newest records between its marks."""
    return MARKED.sub(_table, text)


def _table(found: re.Match[str]) -> str:
    record = load(found["name"])
    table = record.tables[found["table"]].markdown()
    return (
        f"<!-- benchmark: {found['name']} {found['table']} -->\n{table}\n\n"
        f"<sub>{record.origin()}</sub>\n<!-- end of benchmark -->"
    )


def main() -> None:
    """Write all pages."""
    for page in PAGES:
        path = ROOT / page
        path.write_text(filled(path.read_text()))
        print(page, file=sys.stderr)


if __name__ == "__main__":
    main()
