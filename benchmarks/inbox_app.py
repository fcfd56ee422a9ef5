"""The whole app, for benchmarks/notifications.py: the settings come from the environment."""

from __future__ import annotations

from server.app import create_app

__all__ = ["app"]

app = create_app()
