"""The client of a trial: it remembers what it sent, for the sentence of a verdict."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple, Self

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from ..verdict import NotYet, shown
from .time_budget import remaining, retry_on_timeout

__all__ = ["Closed", "TrialClient"]


class Closed(NamedTuple):
    """How a connection ended, as its client saw it; 1006 when no close frame came."""

    code: int
    reason: str


class TrialClient:
    """A real client that remembers what it sent, so that a verdict can say it."""

    def __init__(
        self, connection: ClientConnection, failure: Callable[[], str | None], hint: Callable[[], str]
    ) -> None:
        """`failure` says what the handler has raised, and `hint` why it may be silent."""
        self.connection = connection
        self._failure = failure
        self._hint = hint
        self._sent: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.connection.close()

    def send(self, message: str | bytes) -> None:
        """Send a text (`str`) or binary (`bytes`) message.

        A connection that is just ending may or may not take it, by chance; the next `receive` or `closed`
        says that it has ended.
        """
        self._sent.append(shown(message))
        with suppress(ConnectionClosed):
            self.connection.send(message)

    def send_json(self, value: Any) -> None:
        """Send `value` as JSON text."""
        self.send(json.dumps(value))

    def receive(self, expected: str = "an answer") -> str | bytes:
        """Return the next message; `expected` describes it for the verdict."""
        try:
            return retry_on_timeout(lambda seconds: self.connection.recv(timeout=seconds))
        except TimeoutError:
            raise NotYet(f"{self._so_far}, got nothing, expected {expected}{self._hint()}") from None
        except ConnectionClosed:
            raise NotYet(f"{self._so_far}, expected {expected}, but the connection was closed: {self._why()}") from None

    def receive_json(self, expected: str = "a JSON answer") -> Any:
        """Return the next message, decoded; it must be JSON in a text frame."""
        got = self.receive(expected)
        if isinstance(got, bytes):
            raise NotYet(f"{self._so_far}, got binary {shown(got)}, expected {expected} as text")
        try:
            return json.loads(got)
        except ValueError:
            raise NotYet(f"{self._so_far}, got {shown(got)}, which is not JSON, expected {expected}") from None

    def expect(self, expected: str | bytes) -> None:
        """Receive a message; raise `NotYet` unless it is `expected`, and of the same type."""
        got = self.receive(shown(expected))
        if got != expected:
            kind = type(got) is not type(expected)
            raise NotYet(f"{self._so_far}, got {shown(got, kind=kind)}, expected {shown(expected, kind=kind)}")

    def expect_json(self, expected: Any) -> None:
        """Receive a message; raise `NotYet` unless it is JSON for `expected`."""
        got = self.receive_json(shown(expected))
        if got != expected:
            raise NotYet(f"{self._so_far}, got {shown(got)}, expected {shown(expected)}")

    def closed(self) -> Closed:
        """Wait until the server closes, and return how; drop messages that still arrive.

        Raises:
            NotYet: the connection is still open when the check's time is over.
        """
        try:
            while remaining():
                retry_on_timeout(lambda seconds: self.connection.recv(timeout=seconds))
        except ConnectionClosed as end:
            return Closed(end.rcvd.code, end.rcvd.reason) if end.rcvd else Closed(1006, "")
        except TimeoutError:
            pass
        raise NotYet(f"{self._so_far}, expected the server to close, but the connection is still open{self._hint()}")

    def leave(self, code: int = 1000) -> None:
        """Close the connection, as a browser does when its page is left."""
        self.connection.close(code)

    @property
    def _so_far(self) -> str:
        return f"sent {', '.join(self._sent[-3:])}" if self._sent else "connected"

    def _why(self) -> str:
        end = self.closed()
        return self._failure() or f"code {end.code}{f' ({end.reason})' if end.reason else ''}"
