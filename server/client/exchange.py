"""What a client and its server say to each other over all the client's connections: joins, messages, confirmations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ..broker import Position
from ..inbox import Standing
from ..messages import (
    Ack,
    Announcement,
    ChatMessage,
    CloseCode,
    Error,
    Inbox,
    Joined,
    Leave,
    Message,
    Notification,
    Read,
    Reset,
    Say,
    Stored,
    Welcome,
)
from .backoff import Backoff
from .heard import kind_of, read
from .reader import Missed, Reader
from .refusal import ClientError, ClosedError, Loss, RefusedError
from .saying import Sayings, refusal_of
from .stream import Stream, Turn

__all__ = ["Exchange"]

SPEAKING_ROOMS = 8  # rooms without a reader in which a client stays, for what it may say next
LATER = 2  # the attempt whose delay a question waits for that the server could not answer


class Exchange:
    """The streams of one client, and what it has said. Told by its link of every connection and every message."""

    def __init__(
        self, send: Callable[[Message], None], backoff: Backoff, announced: Callable[[str], None] | None = None
    ) -> None:
        """Answer with `send`, which forgets what cannot be sent now; tell `announced` what a whole class is told."""
        self._send = send
        self._backoff = backoff
        self._announced = announced
        self._streams: dict[str | None, Stream[Any]] = {}
        self._sayings = Sayings(send, backoff)
        self._progress = asyncio.Event()  # a loop took an item, or something was said
        self.user = ""
        self.standing: Standing | None = None
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
        if stream is not None and stream.reader is reader:
            stream.reader = None
            self._progress.set()
            if reader.name not in self._sayings.rooms():
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
        saying = self._sayings.add(say, key)
        self._progress.set()
        stream = self._streams.setdefault(say.room, Stream(say.room))
        if stream.is_open:
            self._send(say)
        elif stream.asked is None:
            self._ask(stream)
        try:
            return await self._sayings.outcome(saying, seconds)
        finally:
            for name in self._idle()[:-SPEAKING_ROOMS]:
                self._drop(name)

    async def acknowledge(self, ack: Ack, key: str, seconds: float) -> None:
        """Have everything up to a position read, until the server has stored that."""
        saying = self._sayings.add(ack, key)
        self._progress.set()
        self._send(ack)
        await self._sayings.outcome(saying, seconds)

    # what the link tells

    def opened(self, text: str) -> None:
        """Go on with everything on a new connection."""
        self.user = read(Welcome, text).user
        for name in self._idle():
            del self._streams[name]
        for stream in self._streams.values():
            self._ask(stream)
        self._sayings.send_again(None)

    def lost(self, loss: Loss) -> None:
        """Wait for the next connection."""
        for stream in self._streams.values():
            stream.lose()
        if loss.code == CloseCode.MESSAGE_TOO_BIG:
            # said again, it would end the next connection as well
            self._sayings.refuse_all(RefusedError(f"too big for the server, {loss.reason}; say less", code=loss.code))

    def end(self, error: BaseException | None) -> None:
        """End every reader and everything that is being said."""
        for stream in self._streams.values():
            if stream.reader is not None:
                stream.reader.end(error)
        self._sayings.refuse_all(error or ClosedError("the client was closed before this was confirmed"))

    async def heard(self, text: str) -> None:  # one case for each kind of message
        """Take one message; waits while the reader that it is for has no room."""
        match kind_of(text):
            case "message":
                await self._on_message(read(ChatMessage, text))
            case "stored":
                stored = read(Stored, text)
                self._sayings.confirm(stored.id, stored.position)
            case "notification":
                notification = read(Notification, text)
                if self.standing is not None:
                    self.standing = self.standing.grown(notification.position)
                await self._on_item(None, notification, notification.position)
            case "joined":
                joined = read(Joined, text)
                await self._on_answer(joined.room, joined.id, joined.position, joined.complete)
                self._sayings.send_again(joined.room)
            case "inbox":
                inbox = read(Inbox, text)
                self._on_standing(Standing(newest=inbox.newest, read=inbox.read, unread=inbox.unread))
                await self._on_answer(None, inbox.id, inbox.position, inbox.complete)
            case "read":
                mark = read(Read, text)
                self._on_standing(Standing(newest=mark.newest, read=mark.position, unread=mark.unread))
            case "reset":
                reset = read(Reset, text)
                await self._on_reset(reset.room, reset.position)
            case "announcement" if self._announced is not None:
                self._announced(read(Announcement, text).text)
            case "error":
                self._on_error(read(Error, text))

    async def _on_message(self, message: ChatMessage) -> None:
        if message.position is None:
            raise ClientError("the server says messages without a position; it is older than this client")
        if message.user == self.user:
            self._sayings.confirm(message.id, message.position)
        await self._on_item(message.room, message, message.position)

    def _on_standing(self, standing: Standing) -> None:
        self.standing = standing
        if standing.read is not None:
            self._sayings.confirm_read(standing.read)

    async def _on_item(self, name: str | None, item: Any, position: Position) -> None:
        stream = await self._with_room(name)
        match stream and stream.judge(position), stream:
            case Turn.NEXT, Stream() as stream:
                self._give(stream, item, position)
            case Turn.DUPLICATE, _:
                self.duplicates += 1
            case Turn.GAP, Stream() as stream:
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

    async def _on_reset(self, name: str | None, position: Position) -> None:
        stream = await self._with_room(name)
        if stream is None or not stream.is_open or stream.behind:
            return
        self._give(stream, Missed(name, stream.position, position), position)
        if name is None:
            self._ask(stream)  # only the answer says what is unread now

    def _on_error(self, error: Error) -> None:
        if self._sayings.on_error(error) or error.id is None:
            return
        for stream in [stream for stream in self._streams.values() if stream.asked == error.id]:
            if error.field is None:
                delay = self._backoff.delay(LATER)
                asyncio.get_running_loop().call_later(delay, self._ask_again, stream, stream.asked)
                continue
            del self._streams[stream.name]
            if stream.reader is not None:
                stream.reader.end(refusal_of(error))
            self._sayings.refuse(refusal_of(error), stream.name)

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
        self._send(stream.ask())

    def _ask_again(self, stream: Stream[Any], question: str | None) -> None:
        if stream.asked == question is not None:
            self._ask(stream)

    def _idle(self) -> list[str | None]:
        speaking = self._sayings.rooms()
        return [name for name, one in self._streams.items() if one.reader is None and name not in speaking]

    def _drop(self, name: str | None) -> None:
        del self._streams[name]
        if name is not None:
            self._send(Leave(room=name))
