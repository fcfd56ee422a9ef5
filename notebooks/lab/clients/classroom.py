"""Join a class from a notebook: ``me = join("teacher:8000", name="ana")``.

The connection runs in a thread of its own, so a cell that computes doesn't stop it. When it is lost, it reconnects
by itself, and then receives what was said in the meantime.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import urlsplit

import httpx

from server.client import Client, ClientError, ClosedError, LostMessages, RefusedError
from server.errors import StopError
from server.messages.shorten import shorten
from server.run.registry import discard, enter, stop_earlier_run

from ..checks.progress import progress

__all__ = ["ChatMessage", "ClassroomClient", "join"]

T = TypeVar("T")

PORT = 8000  # where the address has none
TEACHER = "the teacher"
ROOM = "lobby"  # where the page begins as well
KEPT = 100  # messages
JOIN_SECONDS = 5.0
SAY_SECONDS = 10.0  # a server that restarts is back before
DO_SECONDS = 15.0  # longer than anything that is done takes
STOP_SECONDS = 3.0
SHARE_SECONDS = 2.0  # between two looks at what is remembered, which other kernels change as well


class ChatMessage(NamedTuple):
    """One message of the class: who said it, and what."""

    user: str
    text: str


class ClassroomClient:
    """One student's connection to the class; made by `join`."""

    def __init__(self, url: str, name: str) -> None:
        self.url = url
        self.name = name
        self._received: deque[ChatMessage] = deque(maxlen=KEPT)
        self._shown: object = None  # what the teacher has been shown last
        self._joined = threading.Event()
        self._error: BaseException | None = None
        self._loop = asyncio.new_event_loop()
        self._sharing = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=f"classroom-{name}", daemon=True)

    def __repr__(self) -> str:
        return f"<{self.name} in the class at {self.url}>"

    # for the student

    @property
    def messages(self) -> list[ChatMessage]:
        """The last 100 messages of the lobby and of the teacher since you joined, oldest first."""
        return list(self._received)

    def say(self, text: str) -> None:
        """Say something in the lobby, and return when the server has stored it.

        Raises:
            RefusedError: the server refuses the message, or has removed you.
            UnconfirmedError: it did not answer within 10 s.
            ClosedError: you have left.
        """
        self._do(lambda: self._client.say(ROOM, text, seconds=SAY_SECONDS))

    def share_progress(self) -> None:
        """Show the teacher which exercises you have solved, from now on and until you leave.

        Raises:
            RefusedError: the server refuses it; it may not have been started as a class.
            ClientError: your progress is not remembered here, or cannot be read.
        """
        self._do(self._share)

    def leave(self) -> None:
        """Close the connection; do nothing when it is closed.

        Raises:
            StopError: its thread is stuck.
        """
        with suppress(RuntimeError):  # the loop has closed: it has ended before
            self._loop.call_soon_threadsafe(self._main.cancel)
        self._thread.join(STOP_SECONDS)
        discard(self)
        if self._thread.is_alive():
            raise StopError(f"{self!r} does not end, its thread is stuck; restart the kernel")

    stop = leave

    # start and end

    def start(self) -> Self:
        """Connect, and return when the server has sent `welcome`; raises what `join` raises."""
        self._main = self._loop.create_task(self._run_client())
        self._thread.start()
        enter(self)
        try:
            self._joined.wait()
            if self._error is not None:
                raise self._error
        except BaseException:
            self.leave()
            raise
        return self

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._main)
        except asyncio.CancelledError:
            self._error = ClosedError(f"you have left {self.url}; join again")
        except TimeoutError:
            self._error = ConnectionError(
                f"no class answers at {self.url} within {JOIN_SECONDS:g} s; compare it with the address on the "
                "teacher's screen, and see that you are in the same network"
            )
        except BaseException as error:  # raised again in the caller's thread
            self._error = error
        finally:
            self._loop.close()
            self._joined.set()

    async def _run_client(self) -> None:
        device = f"notebook-{secrets.token_hex(2)}"  # two notebooks of one student do not replace each other
        joining = asyncio.timeout(JOIN_SECONDS)
        async with (
            joining,
            Client(self.url, name=self.name, device=device, on_announcement=self._on_announcement) as self._client,
        ):
            joining.reschedule(None)
            self._joined.set()
            sharing = asyncio.create_task(self._keep_sharing())
            try:
                async for message in self._client.room(ROOM):
                    if isinstance(message, LostMessages):
                        self._received.append(ChatMessage("", "(lost for good)"))
                    else:
                        self._received.append(ChatMessage(message.user, message.text))
            finally:
                sharing.cancel()
                await asyncio.wait([sharing])

    def _on_announcement(self, text: str) -> None:
        self._received.append(ChatMessage(TEACHER, text))

    def _do(self, action: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine in the thread, and wait until it is done."""
        if self._error is not None:
            raise self._error
        return asyncio.run_coroutine_threadsafe(action(), self._loop).result(DO_SECONDS)

    # sharing

    async def _share(self) -> None:
        await self._show()
        self._sharing.set()

    async def _keep_sharing(self) -> None:
        await self._sharing.wait()
        while True:
            await asyncio.sleep(SHARE_SECONDS)
            with suppress(OSError, httpx.HTTPError, ClientError):  # the server is away, or busy: next time
                await self._show()

    async def _show(self) -> None:
        """Send which exercises are solved, unless the server knows; after a restart it has forgotten."""
        now = progress()
        seen = now, self._client.statistics().connections
        if now.note:
            raise ClientError(now.note)
        if seen == self._shown:
            return
        async with httpx.AsyncClient(timeout=JOIN_SECONDS) as http:
            body = {"lessons": now.known()}
            answer = await http.post(f"{self.url}/classroom/progress", json=body, headers=await self._client.headers())
        if not answer.is_success:
            hint = "; is it a class, started with --classroom?" if answer.status_code in (404, 405) else ""
            raise RefusedError(
                f"the server does not take your progress, it answers {answer.status_code}{hint}",
                code=answer.status_code,
                reason=shorten(answer.text, 200),
            )
        self._shown = seen


def join(address: str, *, name: str) -> ClassroomClient:
    """Join a class under a name that everybody sees.

    Example: ``me = join("teacher:8000", name="ana")``.

    `address` is what the teacher's screen shows, with or without ``http://`` and ``/join``. Then ``me.say("hello")``
    sends a message to the lobby, and ``me.messages`` are the last 100. ``me.share_progress()`` shows the teacher which
    exercises you have solved, and ``me.leave()`` ends it. When you run a cell again, the connection of its last run is
    closed first.

    Raises:
        ConnectionError: no class answers at this address within 5 s.
        RefusedError: the class refuses you, often because of the name.
        ClientError: the address or the name cannot be one.
    """
    url = url_of(address)
    Client(url, name=name)  # refuses what cannot succeed, while the connection of an earlier run is still open
    stop_earlier_run()
    return ClassroomClient(url, name).start()


def url_of(address: str) -> str:
    """Return the HTTP address of a class, from what somebody has typed.

    Raises:
        ClientError: it has no host, or no port that exists.
    """
    remedy = "type what the teacher's screen shows, such as 'teacher:8000'"
    try:
        url = address.strip().rstrip("/").removesuffix("/join").rstrip("/")
        parts = urlsplit(url if "://" in url else f"//{url}")
        host, port = parts.hostname, parts.port
    except (ValueError, AttributeError, TypeError) as error:
        raise ClientError(f"{address!r} is no address of a class, {error}; {remedy}") from None
    if not host:
        raise ClientError(f"{address!r} is no address of a class; {remedy}")
    if "://" in url:
        return url
    return f"http://{url}" if port else f"http://{url}:{PORT}"
