"""What a client and its server say to each other over all the client's connections: joins, messages, confirmations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import from_json

from .backoff import Backoff
from .broker import Position
from .messages import ChatMessage, CloseCode, Error, Join, Joined, Leave, Message, Reset, Say, Welcome
from .reader import Missed, Reader
from .refusal import ClientError, ClosedError, Loss, RefusedError, UnconfirmedError
from .saying import Saying, Sayings
from .stream import Stream, Turn

__all__ = ["Exchange"]

M = TypeVar("M", bound=Message)

SPEAKING_ROOMS = 8  # rooms without a reader in which a client stays, for what it may say next


class Exchange:
    """The streams of one client, and what it has said. Told by its link of every connection and every message."""

    def __init__(self, send: Callable[[Message], None], backoff: Backoff) -> None:
        """Answer with `send`, which forgets what cannot be sent now."""
        self._send = send
        self._backoff = backoff
        self._streams: dict[str | None, Stream[Any]] = {}
        self._sayings = Sayings()
        self._progress = asyncio.Event()  # a loop took an item, or something was said
        self._timers: set[asyncio.TimerHandle] = set()
        self.user = ""
        self.duplicates = self.gaps = 0

    # what the readers do

    def start(self, reader: Reader[Any]) -> None:
        """Give a reader what comes after its position, instead of any other that reads the same."""
        stream = self._streams.setdefault(reader.name, Stream(reader.name))
        if stream.reader is not None and stream.reader is not reader:
            stream.reader.end(ClosedError(f"another reader reads {reader.name or 'the inbox'!r}; read it in one place"))
        self._progress.set()
        now = stream.position if stream.is_open else None
        stream.read_by(reader)
        if reader.position is None and not reader.last and now is not None:
            stream.position = reader.position = now  # it is there already, because something was said
        else:
            self._ask(stream)

    def leave(self, reader: Reader[Any]) -> None:
        """Give a reader nothing more."""
        stream = self._streams.get(reader.name)
        if stream is None or stream.reader is not reader:
            return
        stream.reader = None
        self._progress.set()
        if reader.name is not None and not self._sayings.in_room(reader.name):
            self._drop(reader.name)

    def taken(self, reader: Reader[Any]) -> None:
        """Take note that there is room for one more item, and fetch what was let go when there was none."""
        self._progress.set()
        stream = self._streams.get(reader.name)
        if stream is not None and stream.reader is reader and stream.behind and reader.is_empty:
            self._ask(stream)

    # what is said

    async def say(self, say: Say, key: str, seconds: float) -> Position:
        """Say something until the server has stored it."""
        if self._sayings.get(key) is not None:
            raise ClientError(f"{key!r} is being said already; use a key of its own for each message")
        saying = Saying(say, key)
        self._sayings.add(saying)
        self._progress.set()
        stream = self._streams.setdefault(say.room, Stream(say.room))
        if stream.is_open:
            self._send(say)
        elif stream.asked is None:
            self._ask(stream)
        try:
            async with asyncio.timeout(seconds):
                return await saying.stored
        except TimeoutError:
            raise UnconfirmedError(
                f"not confirmed within {seconds:g} s: stored or not, nobody knows; say it again with key={key!r}",
                key=key,
            ) from None
        finally:
            self._sayings.remove(saying)
            self._tidy()

    # what the link tells

    def opened(self, text: str) -> None:
        """Go on with everything on a new connection."""
        self.user = _read(Welcome, text).user
        for name in self._idle():
            del self._streams[name]
        for stream in self._streams.values():
            self._ask(stream)

    def lost(self, loss: Loss) -> None:
        """Wait for the next connection."""
        self._call_off()
        for stream in self._streams.values():
            stream.lose()
        if loss.code == CloseCode.MESSAGE_TOO_BIG:
            # said again, it would end the next connection as well
            for saying in self._sayings:
                saying.refuse(RefusedError(f"too big for the server: {loss.reason}; say less at once", code=loss.code))

    def end(self, error: BaseException | None) -> None:
        """End every reader and everything that is being said."""
        self._call_off()
        for stream in self._streams.values():
            if stream.reader is not None:
                stream.reader.end(error)
        for saying in self._sayings:
            saying.refuse(error or ClosedError(f"the client was closed before {saying.key!r} was confirmed"))

    async def heard(self, text: str) -> None:
        """Take one message; waits while the reader that it is for has no room."""
        match _type(text):
            case "message":
                await self._on_message(_read(ChatMessage, text))
            case "joined":
                joined = _read(Joined, text)
                await self._on_answer(joined.room, joined.id, joined.position, joined.complete)
            case "reset":
                reset = _read(Reset, text)
                await self._on_reset(reset.room, reset.position)
            case "error":
                self._on_error(_read(Error, text))

    async def _on_message(self, message: ChatMessage) -> None:
        if message.position is None:
            raise ClientError("the server says messages without a position; it is older than this client")
        saying = self._sayings.get(message.id)
        if saying is not None and message.user == self.user:
            saying.confirm(message.position)
        await self._on_item(message.room, message, message.position)

    async def _on_item(self, name: str | None, item: Any, position: Position) -> None:
        stream = await self._with_room(name)
        if stream is None:
            return
        match stream.judge(position):
            case Turn.NEXT:
                self._give(stream, item, position)
            case Turn.DUPLICATE:
                self.duplicates += 1
            case Turn.GAP:
                self.gaps += 1
                self._ask(stream)

    async def _on_answer(self, name: str | None, question: object, position: Position, complete: bool) -> None:
        stream = await self._with_room(name)
        if stream is None or stream.asked is None or stream.asked != question:
            return
        missed = stream.answered(position, complete)
        if missed is not None:
            self._give(stream, missed, position)
        elif stream.reader is not None and stream.reader.position is None:
            stream.reader.position = position
        for saying in self._sayings.in_room(name):
            self._send(saying.say)

    async def _on_reset(self, name: str | None, position: Position) -> None:
        stream = await self._with_room(name)
        if stream is not None and stream.is_open and not stream.behind:
            self._give(stream, Missed(name, stream.position, position), position)

    def _on_error(self, error: Error) -> None:
        saying = self._sayings.get(error.id)
        stream = next((one for one in self._streams.values() if error.id is not None and one.asked == error.id), None)
        text = f"the server refuses: {error.field or 'the message'}: expected {error.expected}"
        refusal = RefusedError(text, reason=error.expected)
        if saying is not None and error.field is None:
            saying.attempt += 1
            self._later(saying.attempt, lambda: saying.stored.done() or self._send(saying.say))
        elif saying is not None:
            saying.refuse(refusal)
        elif stream is not None and error.field is None:
            self._later(2, lambda: self._ask(stream) if stream.asked == error.id else None)
        elif stream is not None:
            self._streams.pop(stream.name)
            if stream.reader is not None:
                stream.reader.end(refusal)
            for refused in self._sayings.in_room(stream.name):
                refused.refuse(refusal)

    # how it is done

    async def _with_room(self, name: str | None) -> Stream[Any] | None:
        """The stream of this name, once its reader has room for one more; at once while a confirmation is awaited."""
        while (
            (stream := self._streams.get(name)) is not None
            and stream.reader is not None
            and stream.reader.is_full
            and not self._sayings
        ):
            self._progress.clear()
            await self._progress.wait()
        return stream

    def _give(self, stream: Stream[Any], item: Any, position: Position) -> None:
        if stream.reader is not None and stream.reader.is_full:
            self.gaps += 1
            stream.behind = True
            return
        if stream.reader is not None:
            stream.reader.put(item, position)
        stream.position = position

    def _ask(self, stream: Stream[Any]) -> None:
        last = stream.reader.last if stream.reader is not None and stream.position is None else 0
        assert stream.name is not None
        self._send(Join(room=stream.name, after=stream.position, last=last, id=stream.ask()))

    def _idle(self) -> list[str | None]:
        speaking = {saying.say.room for saying in self._sayings}
        return [name for name, one in self._streams.items() if one.reader is None and name not in speaking]

    def _tidy(self) -> None:
        for name in self._idle()[:-SPEAKING_ROOMS]:
            self._drop(name)

    def _drop(self, name: str | None) -> None:
        del self._streams[name]
        if name is not None:
            self._send(Leave(room=name))

    def _later(self, attempt: int, action: Callable[[], object]) -> None:
        def act() -> None:
            self._timers.discard(timer)
            action()

        timer = asyncio.get_running_loop().call_later(self._backoff.delay(attempt), act)
        self._timers.add(timer)

    def _call_off(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()


def _type(text: str) -> object:
    try:
        data = from_json(text)
    except ValueError:
        data = None
    return data.get("type") if isinstance(data, dict) else None


def _read(model: type[M], text: str) -> M:
    try:
        return model.model_validate_json(text, extra="ignore")  # a newer server may say more
    except ValidationError as error:
        raise ClientError(
            f"cannot read {text[:100]!r} as {model.__name__}; is the server of this version? {error}"
        ) from None
