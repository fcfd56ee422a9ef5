"""A temporary folder that is removed, even when the notebook's kernel is killed."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

__all__ = ["TemporaryDirectory"]

PREFIX = "learn-websockets-"
OWNER = ".owner"  # in the folder; locked as long as its process lives
YOUNG = 60.0  # seconds in which a folder may not have got its lock yet


class TemporaryDirectory(tempfile.TemporaryDirectory[str]):
    """A temporary folder: ``log = TemporaryDirectory()``; its path is ``log.name``.

    It is like `tempfile.TemporaryDirectory`, which removes the folder at the latest when the process ends, unless the
    process is killed. This one also removes the folders that killed processes of this user have left: a folder whose
    lock is free has lost its process.
    """

    def __init__(self) -> None:
        _sweep()
        super().__init__(prefix=PREFIX, ignore_cleanup_errors=os.name == "nt")  # where a locked file cannot be removed
        self._lock = FileLock(Path(self.name, OWNER))
        self._lock.acquire()

    def cleanup(self) -> None:
        """Remove the folder now."""
        self._lock.release()
        super().cleanup()


def _sweep() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError, Timeout):  # another sweeps it, or its process lives
            if _is_ours(folder):
                with FileLock(folder / OWNER, timeout=0):
                    shutil.rmtree(folder, ignore_errors=os.name == "nt")


def _is_ours(folder: Path) -> bool:
    """Return whether it is a folder of this user, and not just being made; other users may write here as well."""
    status = folder.lstat()
    mine = os.name == "nt" or status.st_uid == os.getuid()
    return mine and folder.is_dir() and not folder.is_symlink() and time.time() - status.st_mtime > YOUNG
