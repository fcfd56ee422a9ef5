"""What GitHub reads: the workflow that publishes the site, the forms for issues, how to cite."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from check_jsonschema import main  # type: ignore[import-untyped]  # it has no types
from click.testing import CliRunner

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FILES = {
    "vendor.github-workflows": WORKFLOWS,
    "vendor.github-issue-forms": [GITHUB / "ISSUE_TEMPLATE" / f"{name}.yml" for name in ("backend", "lesson")],
    "vendor.github-issue-config": [GITHUB / "ISSUE_TEMPLATE" / "config.yml"],
    "vendor.citation-file-format": [ROOT / "CITATION.cff"],
}
CITATION: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def complaints(schema: str, *files: Path) -> str:
    """What check-jsonschema says of these files; nothing when they are valid."""
    result = CliRunner().invoke(main, ["--builtin-schema", schema, *map(str, files)])
    return "" if result.exit_code == 0 else result.output


@pytest.mark.parametrize("schema", FILES)
def test_a_file_obeys_its_schema(schema: str) -> None:
    """The published schema of each format accepts what is here."""
    assert complaints(schema, *FILES[schema]) == ""


def test_a_schema_refuses_what_is_missing(tmp_path: Path) -> None:
    """A citation without authors is refused, so the test above can fail."""
    broken = tmp_path / "CITATION.cff"
    broken.write_text(yaml.safe_dump({key: value for key, value in CITATION.items() if key != "authors"}))
    assert "'authors' is a required property" in complaints("vendor.citation-file-format", broken)


def test_every_action_is_pinned() -> None:
    """A tag can be moved to other code, a commit can't; the comment says which release it is."""
    uses = [line for path in WORKFLOWS for line in path.read_text().splitlines() if "uses:" in line]
    assert len(uses) >= 4
    assert [line for line in uses if not re.search(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line)] == []


def test_only_what_publishes_may_write() -> None:
    """The job that runs our code reads, and the job that may write runs none of it."""
    (site,) = (yaml.safe_load(path.read_text()) for path in WORKFLOWS if path.name == "site.yml")
    assert site["permissions"] == {"contents": "read"}
    writing = [job for job in site["jobs"].values() if "write" in job.get("permissions", {}).values()]
    assert [step for job in writing for step in job["steps"] if "run" in step] == []
    assert len(writing) == 1


def test_the_lessons_in_the_browser_are_below_the_site() -> None:
    """The workflow writes them where the site's links lead, after the site and before it is uploaded."""
    (site,) = (yaml.safe_load(path.read_text()) for path in WORKFLOWS if path.name == "site.yml")
    steps = [str(step.get("run") or step["uses"]) for step in site["jobs"]["build"]["steps"]]
    names = ("make site", "make lite", "upload-pages-artifact")
    made, lite, uploaded = (next(i for i, step in enumerate(steps) if name in step) for name in names)
    assert made < lite < uploaded
    folder = site["jobs"]["build"]["steps"][uploaded]["with"]["path"]
    assert f"LITE_IN={folder}/lite" in steps[lite]
    assert '/lite/lab/index.html?path="' in steps[made]


def test_the_citation_is_of_this_version() -> None:
    """The number and the licence are those of pyproject.toml."""
    assert CITATION["version"] == PROJECT["version"]
    assert CITATION["license"] == PROJECT["license"]
    holder = re.search(r"Copyright \(c\) \d+ (.+)", (ROOT / "LICENSE").read_text())
    assert holder is not None
    assert [author["name"] for author in CITATION["authors"]] == [holder[1]]
