"""The lessons in a browser without an install: every stored output, and the bytes on the wire, are the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from docs.lite import LESSONS
from tests.browser.notebook import Notebook
from tests.browser.test_lessons import compare, use_client

CORE = [name for name in LESSONS if not name.startswith("deeper/")]
WIRE = Path(__file__).with_name("wire.py")
# bytecode that an import has made says when its source was changed; that of `make lite` has a mark instead
COMPILED = """
import sys
from pathlib import Path

def compiled_here(path, cached):
    return path.endswith(".py") and (".zip/" in path or Path(cached).read_bytes()[4] != 1)

specs = [spec for module in sys.modules.values() if (spec := getattr(module, "__spec__", None)) and spec.has_location]
print(len(specs) > 500, [spec.origin for spec in specs if compiled_here(spec.origin, spec.cached)])
"""

pytestmark = [
    pytest.mark.timeout(600),  # the kernel starts within the first test
    pytest.mark.parametrize("opened", CORE, indirect=True, scope="module"),
]


def test_run_all_shows_what_is_stored(opened: Notebook) -> None:
    """Every cell, strictly as in the re-run on a real machine."""
    opened.run_all()
    opened.screenshot("lite")
    compare(opened)


def test_a_reader_uses_the_browser_client(opened: Notebook) -> None:
    """A person types a message, sees the answer, closes with a code and a reason, and connects to a new server."""
    use_client(opened, 'code 3000, reason "seen enough"', "lite-client")


def test_the_bytes_on_the_wire_are_the_same(opened: Notebook) -> None:
    """Handshakes, frames in both directions, a close, a refusal: as over a real socket on this machine."""
    here = subprocess.run([sys.executable, WIRE], capture_output=True, text=True, check=True, timeout=60)
    assert opened.execute(WIRE.read_text()) == here.stdout


def test_python_compiles_nothing_when_it_starts(opened: Notebook) -> None:
    """Each module is read from the bytecode that `make lite` has put beside it."""
    assert opened.execute(COMPILED) == "True []\n"
