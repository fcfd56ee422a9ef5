"""JupyterHub for a class on one machine: each student has a server, a home, and a copy of the lessons.

Start it in an empty folder, which will hold the students' homes and the Hub's database:
``COURSE_PASSWORD=… jupyterhub --config …/deploy/jupyterhub/jupyterhub_config.py``; see README.md in this folder.
"""

import os
import shutil
import sys
from pathlib import Path

LESSONS = Path(__file__).resolve().parents[2] / "notebooks"
NOT_COPIED = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "workspaces", ".progress.json")
PASSWORD = os.environ.get("COURSE_PASSWORD", "")
IDLE = 2 * 60 * 60  # seconds

c = get_config()  # type: ignore[name-defined]  # noqa: F821

if len(PASSWORD) < 8:
    sys.exit("COURSE_PASSWORD has fewer than 8 characters; set it to the password that you tell the class")

# who may log in: anyone who knows the password, under any name
c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = PASSWORD
c.Authenticator.allow_all = True
c.Authenticator.username_pattern = "[a-z0-9][a-z0-9_-]{0,30}"  # it becomes the name of a folder

# what they get: a local process, under the account that runs the Hub
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = str(Path.cwd() / "students" / "{username}")
c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]  # the Python that has the course
c.Spawner.notebook_dir = "~/course"
c.Spawner.default_url = "/lab/tree/README.md"
c.Spawner.args = [
    f"--LabApp.app_settings_dir={LESSONS / '.jupyter'}",  # Markdown is shown rendered, no news pop-up
    f"--MappingKernelManager.cull_idle_timeout={IDLE}",
    "--MappingKernelManager.cull_connected=True",  # an open tab doesn't keep a kernel alive
    f"--ServerApp.shutdown_no_activity_timeout={IDLE}",
]
if os.geteuid() == 0:  # in a container, say
    c.Spawner.args.append("--allow-root")

# thirty people start in the same minute
c.JupyterHub.concurrent_spawn_limit = 8
c.JupyterHub.active_server_limit = 60
c.Spawner.start_timeout = 120
c.Spawner.http_timeout = 120


def copy_lessons(spawner):
    """Copy the lessons to a new student; never touch files of a student who has them."""
    folder = Path(spawner.home_dir) / "course"
    if not folder.exists():
        half = folder.with_name("course.new")  # so that an interrupted copy is made again
        shutil.copytree(LESSONS, half, ignore=NOT_COPIED, dirs_exist_ok=True)
        half.rename(folder)


c.Spawner.pre_spawn_hook = copy_lessons
