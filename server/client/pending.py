"""Messages and acknowledgements that the server has not confirmed yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..broker import Position
from ..messages import Ack, Error, Message, Say
from .backoff import Backoff
from .errors import ClientError, RefusedError, UnconfirmedError

__all__ = ["PendingMessage", "PendingMessages", "refusal_of"]


def refusal_of(error: Error) -> RefusedError:
    """Return the server's error about one message as an exception."""
    return RefusedError(
        f"the server refuses this: {error.field or 'the message'}: expected {error.expected}", reason=error.expected
    )


class PendingMessage:
    """One message that waits for its confirmation; its idempotency key is its id as well."""

    def __init__(self, message: Say | Ack, key: str) -> None:
        self.message = message
        self.key = key
        self.confirmed: asyncio.Future[Position] = asyncio.get_running_loop().create_future()
        """Its position in the log."""
        self.attempt = 0  # how many times the server could not store it
        self.retry_timer: asyncio.TimerHandle | None = None

    @property
    def room(self) -> str | None:
        """The room; None for the inbox."""
        return self.message.room if isinstance(self.message, Say) else None

    def confirm(self, position: Position) -> None:
        """Note that it is stored at this position."""
        if not self.confirmed.done():
            self.confirmed.set_result(position)

    def fail(self, error: BaseException) -> None:
        """Note that it won't be stored."""
        if not self.confirmed.done():
            self.confirmed.set_exception(error)

    def cancel_retry(self) -> None:
        """Cancel the timer that would send it again."""
        if self.retry_timer is not None:
            self.retry_timer.cancel()


class PendingMessages:
    """All unconfirmed messages, in the order in which they were sent."""

    def __init__(self, send: Callable[[Message], None], backoff: Backoff) -> None:
        self._send = send
        self._backoff = backoff
        self._pending: dict[str, PendingMessage] = {}

    def __bool__(self) -> bool:
        return bool(self._pending)

    def rooms(self) -> set[str | None]:
        """Return the rooms that have unconfirmed messages."""
        return {pending.room for pending in self._pending.values()}

    def add(self, message: Say | Ack, key: str) -> PendingMessage:
        """Add a message.

        Raises:
            ClientError: an unconfirmed message has this key already.
        """
        if key in self._pending:
            raise ClientError(f"{key!r} is the key of a message that is not confirmed yet; give each message its own")
        pending = self._pending[key] = PendingMessage(message, key)
        return pending

    async def wait(self, pending: PendingMessage, seconds: float) -> Position:
        """Wait for the confirmation, and forget the message whatever comes."""
        try:
            async with asyncio.timeout(seconds):
                return await pending.confirmed
        except TimeoutError:
            raise UnconfirmedError(
                f"not confirmed within {seconds:g} s, so it may be stored or not; "
                f"send it again with key={pending.key!r}",
                key=pending.key,
            ) from None
        finally:
            pending.cancel_retry()
            del self._pending[pending.key]

    def resend(self, room: str | None) -> None:
        """Send the unconfirmed messages of a room, or the acknowledgements, once more."""
        for pending in self._in(room):
            self._send(pending.message)

    def confirm(self, key: object, position: Position) -> None:
        """Confirm the message with this key, if there is one."""
        if isinstance(key, str) and key in self._pending:
            self._pending[key].confirm(position)

    def confirm_read(self, read: Position) -> None:
        """Confirm every acknowledgement up to this position."""
        for pending in self._in(None):
            position = pending.message.position if isinstance(pending.message, Ack) else read
            if position.epoch == read.epoch and position.offset <= read.offset:
                pending.confirm(read)

    def on_error(self, error: Error) -> bool:
        """Fail the message that the error is about, or send it again later; return False if it is about no message.

        An error that names no field means that the server could not reach its log.
        """
        pending = self._pending.get(error.id) if isinstance(error.id, str) else None
        if pending is None:
            return False
        if error.field is not None:
            pending.fail(refusal_of(error))
            return True
        pending.cancel_retry()
        pending.attempt += 1
        call_later = asyncio.get_running_loop().call_later
        pending.retry_timer = call_later(self._backoff.delay(pending.attempt), self._send, pending.message)
        return True

    def fail(self, error: BaseException, room: str | None) -> None:
        """Fail the unconfirmed messages of a room."""
        for pending in self._in(room):
            pending.fail(error)

    def fail_all(self, error: BaseException) -> None:
        """Fail every unconfirmed message."""
        for pending in self._pending.values():
            pending.fail(error)

    def _in(self, room: str | None) -> list[PendingMessage]:
        return [pending for pending in self._pending.values() if pending.room == room]
