"""What a client has said or acknowledged and the server has not confirmed yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..broker import Position
from ..messages import Ack, Error, Message, Say
from .backoff import Backoff
from .refusal import ClientError, RefusedError, UnconfirmedError

__all__ = ["Saying", "Sayings", "refusal_of"]


def refusal_of(error: Error) -> RefusedError:
    """The server's words about one message, as an exception."""
    return RefusedError(
        f"the server refuses this: {error.field or 'the message'}: expected {error.expected}", reason=error.expected
    )


class Saying:
    """One message on its way; its idempotency key is its id as well."""

    def __init__(self, message: Say | Ack, key: str) -> None:
        self.message = message
        self.key = key
        self.confirmed: asyncio.Future[Position] = asyncio.get_running_loop().create_future()
        """Where it stands in the log."""
        self.attempt = 0  # how many times the server could not store it just then
        self.timer: asyncio.TimerHandle | None = None

    @property
    def room(self) -> str | None:
        """Where it is said; None for the inbox."""
        return self.message.room if isinstance(self.message, Say) else None

    def confirm(self, position: Position) -> None:
        """It is stored there."""
        if not self.confirmed.done():
            self.confirmed.set_result(position)

    def refuse(self, error: BaseException) -> None:
        """It will not be stored."""
        if not self.confirmed.done():
            self.confirmed.set_exception(error)

    def rest(self) -> None:
        """Call off what was to be sent later."""
        if self.timer is not None:
            self.timer.cancel()


class Sayings:
    """All that is on its way, in the order in which it was said."""

    def __init__(self, send: Callable[[Message], None], backoff: Backoff) -> None:
        self._send = send
        self._backoff = backoff
        self._sayings: dict[str, Saying] = {}

    def __bool__(self) -> bool:
        return bool(self._sayings)

    def __contains__(self, key: str) -> bool:
        return key in self._sayings

    def rooms(self) -> set[str | None]:
        """Where something is being said."""
        return {saying.room for saying in self._sayings.values()}

    def add(self, message: Say | Ack, key: str) -> Saying:
        """Have something confirmed.

        Raises:
            ClientError: something is being said with this key already.
        """
        if key in self._sayings:
            raise ClientError(f"{key!r} is being said already; use a key of its own for each message")
        saying = self._sayings[key] = Saying(message, key)
        return saying

    async def outcome(self, saying: Saying, seconds: float) -> Position:
        """Wait until it is confirmed; afterwards it is said no more, whatever the end."""
        try:
            async with asyncio.timeout(seconds):
                return await saying.confirmed
        except TimeoutError:
            raise UnconfirmedError(
                f"not confirmed within {seconds:g} s, so it is stored or not; say it again with key={saying.key!r}",
                key=saying.key,
            ) from None
        finally:
            saying.rest()
            del self._sayings[saying.key]

    def send_again(self, room: str | None) -> None:
        """Send everything that is said in a room, or acknowledged, once more."""
        for saying in self._in(room):
            self._send(saying.message)

    def confirm(self, key: object, position: Position) -> None:
        """What was said with this key, if anything, is stored."""
        if isinstance(key, str) and key in self._sayings:
            self._sayings[key].confirm(position)

    def confirm_read(self, read: Position) -> None:
        """Everything up to here is acknowledged."""
        for saying in self._in(None):
            position = saying.message.position if isinstance(saying.message, Ack) else read
            if position.epoch == read.epoch and position.offset <= read.offset:
                saying.confirm(read)

    def on_error(self, error: Error) -> bool:
        """Say it later again where the server's log was away, or never; False if the error is about something else."""
        saying = self._sayings.get(error.id) if isinstance(error.id, str) else None
        if saying is None:
            return False
        if error.field is not None:
            saying.refuse(refusal_of(error))
            return True
        saying.rest()
        saying.attempt += 1
        later = asyncio.get_running_loop().call_later
        saying.timer = later(self._backoff.delay(saying.attempt), self._send, saying.message)
        return True

    def refuse(self, error: BaseException, room: str | None) -> None:
        """Give up everything that is said in a room."""
        for saying in self._in(room):
            saying.refuse(error)

    def refuse_all(self, error: BaseException) -> None:
        """Give up everything."""
        for saying in self._sayings.values():
            saying.refuse(error)

    def _in(self, room: str | None) -> list[Saying]:
        return [saying for saying in self._sayings.values() if saying.room == room]
