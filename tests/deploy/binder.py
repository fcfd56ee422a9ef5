"""What Binder does, as far as it can be done without conda: ``make check-binder``.

The packages of environment.yml go into an empty environment (from PyPI), postBuild runs, JupyterLab
starts under a base_url behind a token, and every lesson is run with nothing else installed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import yaml

ROOT = Path(__file__).parents[2]
PYPI_NAMES = {"prometheus_client": "prometheus-client", "redis-py": "redis"}  # conda-forge calls them so
BASE_URL, TOKEN = "/user/somebody/", "a-token-of-binder"
DEADLINE = 100  # seconds for JupyterLab to start


def requirements() -> list[str]:
    """The packages of environment.yml as pip knows them."""
    listed: list[Any] = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    names = [line.split(maxsplit=1) for line in listed if isinstance(line, str)]
    conda = [f"{PYPI_NAMES.get(name, name)}{''.join(bound)}" for name, *bound in names if name not in ("python", "pip")]
    return conda + [line for line in listed[-1]["pip"] if not line.startswith("-e")]


def build(folder: Path) -> tuple[Path, dict[str, str]]:
    """Make the copy of the repository, the environment and the image's settings; return the copy and the variables."""
    copy, prefix = folder / "jovyan", folder / "environment"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(copy)], check=True)
    subprocess.run([sys.executable, "-m", "venv", str(prefix)], check=True)
    not_ours = ("VIRTUAL_", "JUPYTER", "PYTHON")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(not_ours)}
    variables |= {
        "PATH": f"{prefix / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(copy),
        "NB_PYTHON_PREFIX": str(prefix),
    }
    for command in (
        ["python", "-m", "pip", "install", "--quiet", *requirements()],
        ["python", "-m", "pip", "install", "--quiet", "--no-deps", "-e", "."],
        ["./postBuild"],
    ):
        print("$", *command, flush=True)
        subprocess.run(command, cwd=copy, env=variables, check=True)
    return copy, variables


def check_start(copy: Path, variables: dict[str, str]) -> None:
    """Start JupyterLab under a base_url; a token is needed, and the settings of postBuild are there."""
    lab = subprocess.Popen(
        [
            *("jupyter-lab", "--no-browser", "--allow-root", "--ServerApp.port=0"),
            *(f"--ServerApp.base_url={BASE_URL}", f"--IdentityProvider.token={TOKEN}"),
        ],
        cwd=copy,
        env=variables,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        ask(address(lab))
    finally:
        lab.terminate()
        lab.wait(30)


def address(lab: subprocess.Popen[str]) -> str:
    """Where it says that it runs; what it says after that is read, and forgotten."""
    found: list[str] = []

    def read() -> None:
        assert lab.stderr is not None
        for line in lab.stderr:
            found.extend(re.findall(rf"http://127\.0\.0\.1:\d+{BASE_URL}", line))

    threading.Thread(target=read, daemon=True).start()
    until(lambda: found or lab.poll() is not None, "JupyterLab starts")
    assert found, "JupyterLab has ended"
    return found[0]


def ask(base: str) -> None:
    """Look at it from outside."""
    with httpx.Client(base_url=base, trust_env=False) as stranger:
        assert stranger.get("api/status").status_code == 403
    with httpx.Client(base_url=base, trust_env=False, headers={"Authorization": f"token {TOKEN}"}) as reader:
        page = reader.get("lab/tree/notebooks/README.md")
        assert page.status_code == 200
        assert f'"baseUrl": "{BASE_URL}"' in page.text
        settings = reader.get("lab/api/settings/@jupyterlab/docmanager-extension:plugin").json()
        assert "Markdown Preview" in str(settings["schema"]["properties"]["defaultViewers"]["default"])
        port = httpx.URL(base).port
        assert reader.get(f"proxy/{port}{BASE_URL}api").json()["version"]


def until(holds: Callable[[], object], what: str) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline, f"not within {DEADLINE} s: {what}"
        time.sleep(0.1)


def main() -> None:
    """Do all of it in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        copy, variables = build(Path(folder))
        check_start(copy, variables)
        print("JupyterLab starts under a base_url, behind a token, with the settings of the course", flush=True)
        command = ["pytest", "--quiet", "-p", "no:cacheprovider", "--nbval", "notebooks"]  # as the README says
        subprocess.run(command, cwd=copy, env=variables, check=True)


if __name__ == "__main__":
    main()
