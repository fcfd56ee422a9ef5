"""A Python client of the chat that reconnects and resumes: no gap, no duplicate (lesson 05)."""

from .backoff import Backoff
from .client import Client, ClientStatistics
from .connection import ConnectOptions, State
from .errors import ClientError, ClosedError, Disconnect, LoginError, RefusedError, UnconfirmedError
from .reader import LostMessages, Reader

__all__ = [
    "Backoff",
    "Client",
    "ClientError",
    "ClientStatistics",
    "ClosedError",
    "ConnectOptions",
    "Disconnect",
    "LoginError",
    "LostMessages",
    "Reader",
    "RefusedError",
    "State",
    "UnconfirmedError",
]
