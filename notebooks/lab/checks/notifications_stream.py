"""The check of exercise 3 of lesson 05: an inbox as server-sent events, on a real server."""

from __future__ import annotations

import asyncio
import inspect
import json
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Header
from fastapi.sse import EventSourceResponse

from .harness.time_budget import remaining, retry_on_timeout
from .harness.trial import Trial
from .verdict import NotYet, judged, reason_of, refuse_stub, shown

__all__ = ["check_stream"]

Event = tuple[str | None, str | None]
"""Its id and its data."""

SOON = 0.3  # seconds within which a client that has left is forgotten


@judged("missed and new notifications come with ids to resume from, and a client that leaves is forgotten")
def check_stream(stream: Callable[..., Any]) -> None:
    """Check ``stream(inbox, last_event_id)``: an async generator of one `ServerSentEvent` for each notification."""
    refuse_stub(stream)
    if not inspect.isasyncgenfunction(stream):
        raise NotYet("stream is not an async generator; write `async def stream(…)` with a `yield` in it")
    inbox = Inbox("paid", "shipped")
    with _Route(stream, inbox) as route:
        with route.listen() as client:
            client.expect(("1", "paid"), "the first event")
            client.expect(("2", "shipped"), "the second event")
            route.mark_read(1)
            route.push("delivered")
            client.expect(("3", "delivered"), "a read mark came, then 'delivered' was pushed, and the next event")
        _expect_forgotten(inbox)
        with route.listen(last_event_id=2) as client:
            client.expect(("3", "delivered"), "the client came back with Last-Event-ID 2, and the first event")
        route.refuse_failure()


class Inbox:
    """The part of the lesson's inbox that the reader's function uses; its name stands in error messages."""

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts)
        self.devices: list[Callable[[str], object]] = []

    def tell(self, message: str) -> None:
        """Put a message into the queue of each device."""
        for put in list(self.devices):
            put(message)

    def push(self, text: str) -> None:
        """Store a notification, and tell each device."""
        self.texts.append(text)
        self.tell(self._message(len(self.texts)))

    def mark_read(self, position: int) -> None:
        """Tell each device up to where the user has read."""
        self.tell(json.dumps({"type": "read", "position": position}))

    @contextmanager
    def watching(self, put: Callable[[str], object], after: int) -> Iterator[None]:
        """Put what is stored after a position, and then what is pushed while the block runs."""
        for position in range(after, len(self.texts)):
            put(self._message(position + 1))
        self.devices.append(put)
        try:
            yield
        finally:
            self.devices.remove(put)

    def _message(self, position: int) -> str:
        return json.dumps({"type": "notification", "position": position, "text": self.texts[position - 1]})


class _Route(Trial):
    """A route that gives out what the reader's generator yields."""

    def __init__(self, stream: Callable[..., Any], inbox: Inbox) -> None:
        self.stream, self.inbox = stream, inbox
        self.marked = False
        app = FastAPI()
        app.get("/stream", response_class=EventSourceResponse)(self._events)
        super().__init__(app)
        self.name = "stream"

    async def _events(self, last_event_id: Annotated[int, Header()] = 0) -> AsyncIterator[Any]:
        self._loop = asyncio.get_running_loop()
        try:
            async for event in self.stream(self.inbox, last_event_id):
                yield event
        except Exception as error:
            self._error = error
            raise

    @contextmanager
    def listen(self, *, last_event_id: int | None = None) -> Iterator[_EventSource]:
        """Connect a client to the route while the block runs."""
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=1) as wire:
            resume = "" if last_event_id is None else f"Last-Event-ID: {last_event_id}\r\n"
            # HTTP/1.0, so that the answer comes without chunks
            wire.sendall(f"GET /stream HTTP/1.0\r\nHost: 127.0.0.1\r\n{resume}\r\n".encode())
            yield _EventSource(wire, self.refuse_failure)

    def push(self, text: str) -> None:
        """Store a notification, on the server's loop."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.inbox.push, text)

    def mark_read(self, position: int) -> None:
        """Say that another device has read up to a position, on the server's loop."""
        self.marked = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.inbox.mark_read, position)

    def refuse_failure(self) -> None:
        """Raise `NotYet` for what the reader's generator has raised."""
        if self._error is not None:
            refuse_stub(self.stream, self._error)
            after = " when a read mark came" if self.marked and isinstance(self._error, KeyError) else ""
            raise NotYet(f"stream raised {reason_of(self._error, self.stream)}{after}")


class _EventSource:
    """The browser's side: events as they come."""

    def __init__(self, wire: socket.socket, refuse_failure: Callable[[], None]) -> None:
        self._wire = wire
        self._refuse_failure = refuse_failure
        self._data = b""
        self._ended = False
        self._head = False
        self._seen: list[Event] = []

    def expect(self, expected: Event, what: str) -> None:
        """Read an event; raise `NotYet` unless it is this one."""
        event = self._next(expected, what)
        self._seen.append(event)
        if event == expected:
            return
        raise NotYet(f"{what} has {_shown(event)}, expected {_shown(expected)}; {self._hint(event, expected)}")

    def _next(self, expected: Event, what: str) -> Event:
        while (event := self._take()) is None:
            try:
                more = retry_on_timeout(self._receive)
            except TimeoutError:
                self._refuse_failure()
                raise NotYet(f"{what} did not come, expected {_shown(expected)}; {self._silence()}") from None
            if not more:
                self._refuse_failure()
                raise NotYet(f"the stream ended, expected {_shown(expected)}; wait for more in a loop that doesn't end")
            self._data += more.replace(b"\r\n", b"\n")
        return event

    def _receive(self, seconds: float) -> bytes:
        self._wire.settimeout(seconds)
        try:
            return self._wire.recv(65_536)
        except ConnectionError:
            return b""

    def _take(self) -> Event | None:
        """Return the next complete event; skip comments."""
        while b"\n\n" in self._data:
            block, _, self._data = self._data.partition(b"\n\n")
            if not self._head:
                self._head = True
                continue
            lines = [line.partition(":") for line in block.decode(errors="replace").splitlines()]
            fields = {name: value.removeprefix(" ") for name, _, value in lines if name}
            if fields:
                return fields.get("id"), fields.get("data")
        return None

    def _silence(self) -> str:
        if self._seen:
            return "watch with a `put` that wakes your loop"
        return "send first what the inbox has already"

    def _hint(self, got: Event, expected: Event) -> str:
        if got in self._seen[:-1]:
            return "send each notification once"
        if got[1] is not None and got[1] != expected[1] and got[1].strip('"') == expected[1]:
            return "`data` is encoded as JSON; pass the text as `raw_data`"
        if got[1] is not None and "position" in got[1]:
            return 'the queue holds JSON: use `json.loads`, then its "text" and its "position"'
        if got[0] is None:
            return "without an id the browser can't resume; pass `id=str(position)`"
        if expected[0] != "1" and not self._seen[:-1]:
            return "start after `last_event_id`"
        return "send the text and the position of a notification; a read mark has no text, and is no event"


def _shown(event: Event) -> str:
    id_, data = event
    return f"id {shown(id_)} and data {shown(data)}"


def _expect_forgotten(inbox: Inbox) -> None:
    until = time.monotonic() + SOON
    while inbox.devices and (remaining() or time.monotonic() < until):
        time.sleep(0.01)
    if inbox.devices:
        raise NotYet(
            "the client has left, and the inbox still puts into its queue; stay inside `with inbox.watching(…)`"
        )
