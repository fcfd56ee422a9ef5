"""One of several worker processes of ``python -m server --workers N``."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import wait

from fastapi import FastAPI

from .application import create_app

__all__ = ["create_worker"]


def create_worker() -> FastAPI:
    """Return the app, and shut this process down when its parent is gone.

    uvicorn's workers outlive a parent that was killed with ``kill -9``, and keep its port.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_terminate_after, args=(parent.sentinel,), name="parent-watch", daemon=True).start()
    return create_app()


def _terminate_after(sentinel: int) -> None:
    wait([sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
