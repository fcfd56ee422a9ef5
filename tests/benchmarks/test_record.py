"""What the pages state as measured: it stands in a record, and the record is of the code as it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.readme import PAGES, filled, marked
from benchmarks.record import ROOT, Table, digest, load, save

NAMES = sorted({name for page in PAGES for name in marked((ROOT / page).read_text())})


def test_every_benchmark_of_the_bench_command_is_shown() -> None:
    """What `make bench` measures stands on a page, and so is watched by the tests below."""
    assert NAMES == ["fanout", "inboxes", "manager", "portable", "processes", "start"]


@pytest.mark.parametrize("name", NAMES)
def test_the_sources_have_not_changed_since_they_were_measured(name: str) -> None:
    """A figure that belongs to older code is measured again: make bench."""
    record = load(name)
    assert record.digest == digest(record.sources), f"the sources changed; run: {record.command}"


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_a_page_shows_the_newest_record(page: Path) -> None:
    """The tables are those of the record: python -m benchmarks.readme."""
    text = (ROOT / page).read_text()
    assert filled(text) == text


def test_the_guide_calculates_with_less_than_was_measured() -> None:
    """The arithmetic of a million connections is on the safe side of the table above it."""
    guide = (ROOT / "server/README.md").read_text()
    stated = re.search(r"\*\*(\d+) KiB\*\*.+?\*\*([\d,]+)\*\* deliveries\s+and \*\*(\d+)\*\*", guide, re.DOTALL)
    assert stated
    memory, deliveries, connects = (int(number.replace(",", "")) for number in stated.groups())
    measured = [row[1] for row in load("fanout").tables["capacity"].rows]
    assert float(measured[0].removesuffix(" KiB")) <= memory
    assert int(measured[1].replace(",", "")) >= deliveries
    [ours] = (row for row in load("manager").tables["connections"].rows if row[0] == "ours")
    assert all(int(rate.replace(",", "")) >= connects for rate in ours[1::2])
    assert all(float(kib) <= memory for kib in ours[2::2])
    assert f"1,000,000 × {memory} KiB = {round(1e6 * memory / 2**20)} GiB" in guide  # noqa: RUF001
    assert f"of {10_000 * memory // 1024 // 10 * 10} MiB each" in guide
    assert f"{connects} each second takes a single other process {10_000 // connects} s" in " ".join(guide.split())


def test_a_record_knows_where_it_comes_from(tmp_path: Path) -> None:
    """Date, commit and versions stand below the table that a reader sees."""
    table = Table(head=["", "ms"], rows=[["ours", "5"]])
    saved = save("x", command="python -m x", sources=["benchmarks/record.py"], tables={"one": table}, folder=tmp_path)
    assert load("x", tmp_path) == saved
    assert re.fullmatch(
        r"`python -m x` · 20\d\d-\d\d-\d\d · commit \S+ · .+, Python 3\.\S+ · fastapi .+", saved.origin()
    )
    assert table.markdown() == "|  | ms |\n| --- | ---: |\n| ours | 5 |"


def test_a_digest_is_of_what_the_code_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Comments, docstrings and layout may change; an operator, a name, or another file may not."""
    monkeypatch.setattr("benchmarks.record.ROOT", tmp_path)
    source = tmp_path / "source.py"

    def digest_of(text: str) -> str:
        source.write_text(text)
        return digest(["source.py"])

    first = digest_of('"""One."""\ndef double(x):\n    """Two."""\n    return x + x  # three\n')
    assert digest_of("def double(x):\n    return (x +\n            x)\n") == first
    assert digest_of("def double(x):\n    return x * x\n") != first


def test_a_digest_is_the_same_under_every_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is measured under one is checked under all: quotes in f-strings, empty fields, and None."""
    monkeypatch.setattr("benchmarks.record.ROOT", tmp_path)
    source = "class A:\n    def f(self, x=None, *, y=[]):\n        return f\"{', '.join(x)!r:>{y}} of {y[0]['z']}\"\n"
    (tmp_path / "source.py").write_text(source)
    assert digest(["source.py"]) == "7240dbd6812e944e"


def test_a_source_that_is_gone_is_an_error() -> None:
    """A file that was moved is no reason to watch one less."""
    with pytest.raises(FileNotFoundError, match=r"'no/such\.py'"):
        digest(["no/such.py"])
