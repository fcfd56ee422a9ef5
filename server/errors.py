"""The exceptions of this package, all in one tree.

ServerError
├── StartError   a background server could not start
└── StopError    a background server could not be stopped
"""

from __future__ import annotations

__all__ = ["ServerError", "StartError", "StopError"]


class ServerError(Exception):
    """Base class of every error that this package raises."""


class StartError(ServerError):
    """A background server could not start; the message names the cause and the remedy."""


class StopError(ServerError):
    """A background server could not be stopped; the message says where it is stuck."""
