"""A Python client of the chat that comes back by itself and resumes: no gap, no duplicate (lesson 05)."""

from .backoff import Backoff
from .client import Client, ClientStatistics
from .link import State, Wires
from .reader import Missed, Reader
from .refusal import ClientError, ClosedError, LoginError, Loss, RefusedError, UnconfirmedError

__all__ = [
    "Backoff",
    "Client",
    "ClientError",
    "ClientStatistics",
    "ClosedError",
    "LoginError",
    "Loss",
    "Missed",
    "Reader",
    "RefusedError",
    "State",
    "UnconfirmedError",
    "Wires",
]
