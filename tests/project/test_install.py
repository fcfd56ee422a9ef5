"""What the guides install is enough for what they say: each command runs in exactly the environment that they make."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution, entry_points, packages_distributions
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LESSONS = sorted((ROOT / "notebooks").glob("0*.ipynb"))
GUIDES = [
    ROOT / "README.md",
    *sorted(path for part in ("server", "notebooks", "deploy") for path in (ROOT / part).rglob("*.md")),
]
DEADLINE = 240  # seconds to install, which is a few when uv has the packages

SERVER = PROJECT["dependencies"]
TESTING = PROJECT["optional-dependencies"]["testing"]  # only for the fixtures, as tests/server/testing shows
COURSE = SERVER + PROJECT["optional-dependencies"]["course"]

BROUGHT = {"starlette", "pydantic-core", "ipywidgets", "traitlets"}
"""What comes with a required package as a part of its interface: FastAPI's, pydantic's and anywidget's."""


def names(requirements: Iterable[str]) -> set[str]:
    """The packages that are required."""
    return {canonicalize_name(Requirement(line).name) for line in requirements}


def closure(requirements: Iterable[str]) -> set[str]:
    """The same with all that they require in turn, as far as it is installed here."""
    found: set[tuple[str, str]] = set()
    waiting = [(Requirement(line), "") for line in requirements]
    while waiting:
        one, extra = waiting.pop()
        if one.marker is not None and not one.marker.evaluate({"extra": extra}):
            continue
        for wanted in {"", *one.extras} - {extra for name, extra in found if name == canonicalize_name(one.name)}:
            found.add((canonicalize_name(one.name), wanted))
            with suppress(PackageNotFoundError):  # it is for another system
                waiting += [(Requirement(line), wanted) for line in distribution(one.name).requires or []]
    return {name for name, _ in found}


def imported(source: str) -> Iterator[str]:
    """The top names of all that a program imports from elsewhere, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0]


def code(lesson: Path) -> list[str]:
    """The cells of a lesson that hold code."""
    cells = json.loads(lesson.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


# without an environment


def test_what_pytest_is_configured_with_comes_with_the_course() -> None:
    """Without the plugins that only `make test-all` installs, pytest takes its configuration and finds the lessons."""
    there = closure(COURSE)
    others = [
        one
        for one in entry_points(group="pytest11")
        if one.dist and canonicalize_name(one.dist.metadata["Name"]) not in there
    ]
    assert "xdist" in {plugin.name for plugin in others}, "this test leaves nothing out"
    options = [word for plugin in others for word in ("-p", f"no:{plugin.name}")]
    command = [
        sys.executable,
        "-m",
        "pytest",
        *options,
        "-p",
        "no:cacheprovider",
        "--nbval",
        "--collect-only",
        "-q",
        "notebooks",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("folders", "requirements"),
    [(["server"], SERVER + TESTING), (["notebooks/lab", "server", "deploy/jupyterhub"], COURSE)],
    ids=["server", "course"],
)
def test_what_is_imported_is_required(folders: list[str], requirements: list[str]) -> None:
    """Nothing is there by chance, because another package happens to bring it, except what a package re-exports."""
    sources = [path.read_text(encoding="utf-8") for folder in folders for path in (ROOT / folder).rglob("*.py")]
    if "notebooks/lab" in folders:
        sources += ["\n".join(code(lesson)) for lesson in LESSONS]
    owners = packages_distributions()
    own = {"server", "lab", *sys.stdlib_module_names}
    brought = {
        name: {canonicalize_name(owner) for owner in owners.get(name, ["?"])}
        for source in sources
        for name in imported(_awaitable(source))
        if name not in own
    }
    allowed = names(requirements) | BROUGHT
    assert {name: by for name, by in brought.items() if not by & allowed} == {}


def _awaitable(source: str) -> str:
    """A notebook's cells as a program: lines that only IPython reads are left out."""
    return re.sub(r"^\s*[%!].*$", "", source, flags=re.MULTILINE)


def test_every_module_that_a_guide_runs_is_tried() -> None:
    """A guide that tells of a new `python -m …` needs a line here, and the environment that it runs in."""
    told = {name for guide in GUIDES for name in re.findall(r"python -m\s+([\w.]+)", guide.read_text(encoding="utf-8"))}
    assert {name for name in told if not name.startswith("benchmarks.")} <= {
        "server",
        "server.app.docs.asyncapi",
        "tests.notebooks.minutes",
    }
    assert "pip install -e '.[course,dev]'" in (ROOT / "server" / "README.md").read_text(), "for the benchmarks"


# in an environment


def made(folder: Path, *what: str, cwd: Path = ROOT) -> Path:
    """Make an environment with this in it and nothing else; return the folder of its programs."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_"))}
    for arguments in (
        ["venv", "--python", sys.executable, str(folder)],
        ["pip", "install", "--python", str(folder), *what],
    ):
        command = [sys.executable, "-m", "uv", *arguments, "--quiet"]
        done = subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=DEADLINE, check=False
        )
        assert done.returncode == 0, done.stderr
    return folder / ("Scripts" if os.name == "nt" else "bin")


def run(programs: Path, *command: str, cwd: Path = ROOT) -> str:
    """Run one of its programs, from the repository or another folder, and return what it says."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_"))}
    environment["PATH"] = f"{programs}{os.pathsep}{os.environ['PATH']}"
    words = [str(programs / command[0]), *command[1:]]
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(2 * DEADLINE)
def test_the_operators_environment_runs_what_the_guide_says(tmp_path: Path) -> None:
    """`pip install .` is enough for the server, its tokens and its description."""
    programs = made(tmp_path / "venv", str(ROOT))
    assert "--demo-login" in run(programs, "python", "-m", "server", "--help")
    run(programs, "python", "-m", "server", "token", "--help")
    assert json.loads(run(programs, "python", "-m", "server.app.docs.asyncapi"))["asyncapi"]


@pytest.mark.timeout(2 * DEADLINE)
def test_the_readers_environment_runs_what_the_readme_says(tmp_path: Path) -> None:
    """`pip install -e ".[course]"` is enough to import what each lesson imports, and to re-run lessons as tests."""
    programs = made(tmp_path / "venv", "-e", f"{ROOT}[course]")
    imports = "\n".join(code(lesson)[0] for lesson in LESSONS)
    run(programs, "python", "-c", imports)
    options = ("-q", "-p", "no:cacheprovider")
    assert "error" not in run(programs, "pytest", "--nbval", "--collect-only", *options, "notebooks")
    run(programs, "pytest", "--nbval", *options, "notebooks/01-handshake.ipynb")
    run(programs, "jupyter", "lab", "--version", "--config=notebooks/.jupyter/jupyter_lab_config.py")
    run(programs, "python", "-P", "deploy/check_room.py", "--help")
    run(programs, "python", "-m", "tests.notebooks.minutes")


def a_readers_project(folder: Path) -> list[str]:
    """Write the files of the notebooks about testing into a folder; return what the last one says about CI."""
    deeper = ROOT / "notebooks" / "deeper"
    cells = [*code(deeper / "testing-faults.ipynb")[:3], *code(deeper / "testing-time.ipynb")]
    for cell in cells:
        if written := re.match(r"%%writefile (-a )?(\S+)\n", cell):
            with (folder / written[2]).open("a" if written[1] else "w", encoding="utf-8") as file:
                file.write(cell[written.end() :] + "\n")
    last = json.loads((deeper / "testing-messages.ipynb").read_text(encoding="utf-8"))["cells"]
    prose = "\n".join("".join(cell["source"]) for cell in last if cell["cell_type"] == "markdown")
    return re.findall(r"^```(?:text|yaml)\n(.*?)^```$", prose, re.MULTILINE | re.DOTALL)


@pytest.mark.timeout(2 * DEADLINE)
@pytest.mark.parametrize("kept", ["at an address", "as a wheel"])
def test_the_ci_of_a_readers_project_is_green(kept: str, tmp_path: Path) -> None:
    """The requirements and the workflow of deeper/testing-messages install the plugin, and run the reader's tests."""
    project = tmp_path / "project"
    project.mkdir()
    requirements, wheel, workflow = a_readers_project(project)
    steps = [step["run"] for step in yaml.safe_load(workflow)["jobs"]["tests"]["steps"] if "run" in step]
    assert steps == ["pip install -r requirements.txt", "pytest"]
    if kept == "as a wheel":
        arguments = ["build", "--wheel", "--quiet", "--out-dir", str(project / "vendor"), str(ROOT)]
        subprocess.run([sys.executable, "-m", "uv", *arguments], timeout=DEADLINE, check=True)
        requirements = re.sub(r"^learn-websockets.*\n", wheel, requirements, flags=re.MULTILINE)
    else:
        requirements = requirements.replace("git+https://github.com/OWNER/REPOSITORY", ROOT.as_uri())
    (project / "requirements.txt").write_text(requirements)
    programs = made(tmp_path / "venv", "-r", "requirements.txt", cwd=project)
    assert " 3 passed" in run(programs, "pytest", cwd=project)
