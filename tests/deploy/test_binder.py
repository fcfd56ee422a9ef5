"""postBuild, and the launch link of the README: what of Binder can be tried on any machine.

The long way, with an environment of its own: ``make check-binder``.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

ROOT = Path(__file__).parents[2]
POST_BUILD = ROOT / "postBuild"


def run(home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it as Binder does: in the repository, with the environment's Python first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = {"PATH": path, "HOME": str(home)} | environment
    return subprocess.run(
        [str(POST_BUILD)], cwd=ROOT, env=variables, capture_output=True, text=True, timeout=100, check=False
    )


def test_post_build_prepares_the_image(tmp_path: Path) -> None:
    """JupyterLab is set up as by `make lab`, and the font cache is there; nothing else is written."""
    done = run(tmp_path, NB_PYTHON_PREFIX=str(tmp_path / "prefix"))
    assert done.returncode == 0, done.stderr
    settings = tmp_path / "prefix" / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    assert json.loads(settings.read_text()) == json.loads(
        (ROOT / "notebooks" / ".jupyter" / "overrides.json").read_text()
    )
    assert list((tmp_path / ".cache" / "matplotlib").glob("fontlist-*.json"))


def test_post_build_names_what_it_lacks(tmp_path: Path) -> None:
    """Outside of Binder it changes nothing."""
    done = run(tmp_path)
    assert done.returncode
    assert "NB_PYTHON_PREFIX: is the folder of the environment; Binder sets it" in done.stderr


def test_binder_finds_both_files() -> None:
    """It looks into a folder binder/ or .binder/ first, and then not here, where `-e .` means the course."""
    assert (ROOT / "environment.yml").is_file()
    assert not [name for name in ("binder", ".binder") if (ROOT / name).exists()]


def test_the_launch_link_opens_a_page_that_exists() -> None:
    """JupyterLab, with the map of the course."""
    (link,) = set(re.findall(r"https://mybinder\.org/v2/gh/[^\s)`]+", (ROOT / "README.md").read_text()))
    (shown,) = parse_qs(urlsplit(link).query)["urlpath"]
    assert shown.startswith("lab/tree/")
    assert (ROOT / shown.removeprefix("lab/tree/")).is_file()
