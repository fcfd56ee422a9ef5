"""How ``jupyter lab --config=…`` opens the course: this folder, its landing page, nothing of yours changed."""

import sys
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent

c = get_config()  # type: ignore[name-defined]  # noqa: F821
c.ServerApp.root_dir = str(HERE.parent)
c.ServerApp.allow_root = True  # often the only user of a container
c.LabApp.default_url = "/lab/tree/README.md"
# overrides.json, read from here, renders Markdown files and switches the news pop-up off
c.LabApp.app_settings_dir = str(HERE)
# your own workspace keeps its tabs
c.LabApp.workspaces_dir = str(HERE / "workspaces")
# the lessons stand on top of the list: what they import and show is not in it
c.ContentsManager.hide_globs = ["__pycache__", "*.pyc", "*.pyo", ".DS_Store", "*~", "lab", "images"]
# a card in the launcher, which starts the finished chat and shows it in a frame
(package,) = find_spec("server").submodule_search_locations
c.ServerProxy.servers = {
    "chat": {
        "command": [sys.executable, "-P", "-m", "server", "--demo-login", "--port", "{port}"],
        "timeout": 30,
        "new_browser_tab": False,
        "launcher_entry": {
            "title": "The chat that you will build",
            "icon_path": str(Path(package, "app", "static", "icon.svg")),
        },
    }
}
