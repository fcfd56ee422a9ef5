"""A WebSocket client for tests: each of its waits has a deadline, and an error that says what was missing."""

from __future__ import annotations

import json
import time
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

__all__ = ["DEADLINE", "DeadlineClient"]

DEADLINE = 3.0  # seconds


class DeadlineClient(ClientConnection):
    """A connection of ``websockets.sync.client`` that waits for `deadline` seconds by default, and not for ever.

    Made by the fixture `websocket`. It has every method of its base class.
    """

    deadline: float = DEADLINE

    def recv(self, timeout: float | None = None, decode: bool | None = None) -> Any:
        """Return the next message, `str` for text and `bytes` for binary.

        Raises:
            TimeoutError: no message came within `timeout` seconds, or `deadline` if that is None.
            ConnectionClosed: the connection has ended; ``close_code`` says how.
        """
        seconds = self.deadline if timeout is None else timeout
        try:
            return super().recv(timeout=seconds, decode=decode)
        except TimeoutError:
            raise TimeoutError(f"no message came within {seconds:g} s; the connection is still open") from None

    def send_json(self, value: Any) -> None:
        """Send `value` as JSON, in a text message."""
        self.send(json.dumps(value, allow_nan=False))

    def recv_json(self, timeout: float | None = None) -> Any:
        """Return the next message, decoded from JSON; the waits and errors are those of `recv`."""
        return json.loads(self.recv(timeout))

    def recv_until(self, wanted: Any, timeout: float | None = None) -> None:
        """Read until the message `wanted` comes, and drop those before it; compare JSON if `wanted` is no `str`.

        Raises:
            TimeoutError: it did not come in time; the error names the last message that came instead.
        """
        seconds = self.deadline if timeout is None else timeout
        deadline = time.monotonic() + seconds
        seen: list[Any] = []
        while not seen or seen[-1] != wanted:
            try:
                text = self.recv(max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                last = f"the last message was {seen[-1]!r}" if seen else "no message came"
                raise TimeoutError(f"{wanted!r} did not come within {seconds:g} s; {last}") from None
            seen = [text if isinstance(wanted, str) else json.loads(text)]

    def end(self, timeout: float | None = None) -> int:
        """Read until the connection ends, and return its close code: 1005 for a close without a code, 1006 for none.

        Raises:
            TimeoutError: the connection is still open after `timeout` seconds.
        """
        seconds = self.deadline if timeout is None else timeout
        deadline = time.monotonic() + seconds
        try:
            while True:
                self.recv(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            raise TimeoutError(f"the connection is still open after {seconds:g} s; expected its end") from None
        except ConnectionClosed:
            return int(self.close_code or 1006)
