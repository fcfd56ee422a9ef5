"""A seat in the class that the teacher's server holds: ``seat = join("teacher:8000", name="ana")``.

The connection lives in a thread of its own, so a cell that computes does not stop it. It comes back by itself
when it is lost, and what was said meanwhile is then heard.
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

from server.cell import discard, enter, stop_earlier_run
from server.client import Client, ClientError, ClosedError, Missed, RefusedError
from server.errors import StopError

from .progress import progress

__all__ = ["Said", "Seat", "join"]

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


class Said(NamedTuple):
    """One message."""

    user: str
    text: str


class Seat:
    """One student's connection to the class; made by `join`."""

    def __init__(self, url: str, name: str) -> None:
        self.url = url
        self.name = name
        self._heard: deque[Said] = deque(maxlen=KEPT)
        self._shown: object = None  # what the teacher has been shown last
        self._entered = threading.Event()
        self._error: BaseException | None = None
        self._loop = asyncio.new_event_loop()
        self._sharing = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=f"classroom-{name}", daemon=True)

    def __repr__(self) -> str:
        return f"<{self.name}'s seat at {self.url}>"

    # what a student does

    @property
    def messages(self) -> list[Said]:
        """The last 100 that were said in the lobby or by the teacher since you came, oldest first."""
        return list(self._heard)

    def say(self, text: str) -> None:
        """Say something in the lobby, and return when the server has stored it.

        Raises:
            RefusedError: the server refuses, or has sent you out.
            UnconfirmedError: it did not answer within 10 s.
            ClosedError: you have left.
        """
        self._do(lambda: self._client.say(ROOM, text, seconds=SAY_SECONDS))

    def share_progress(self) -> None:
        """Show the teacher which exercises you have solved, from now on and until you leave.

        Raises:
            RefusedError: the server does not want it; it may hold no class.
            ClientError: what you have solved is not remembered here, or cannot be read.
        """
        self._do(self._share)

    def leave(self) -> None:
        """Close the connection; harmless when it is closed.

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

    # its life

    def start(self) -> Self:
        """Connect, and return when the server has said welcome; raises as `join`."""
        self._main = self._loop.create_task(self._attend())
        self._thread.start()
        enter(self)
        try:
            self._entered.wait()
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
        except BaseException as error:  # whoever uses the seat gets it
            self._error = error
        finally:
            self._loop.close()
            self._entered.set()

    async def _attend(self) -> None:
        device = f"notebook-{secrets.token_hex(2)}"  # two notebooks of one student do not replace each other
        entering = asyncio.timeout(JOIN_SECONDS)
        async with entering, Client(self.url, name=self.name, device=device, announced=self._announced) as self._client:
            entering.reschedule(None)
            self._entered.set()
            sharing = asyncio.create_task(self._go_on_sharing())
            try:
                async for message in self._client.room(ROOM):
                    if isinstance(message, Missed):
                        self._heard.append(Said("", "(lost for good)"))
                    else:
                        self._heard.append(Said(message.user, message.text))
            finally:
                sharing.cancel()
                await asyncio.wait([sharing])

    def _announced(self, text: str) -> None:
        self._heard.append(Said(TEACHER, text))

    def _do(self, action: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Have the thread do something, and wait until it is done."""
        if self._error is not None:
            raise self._error
        return asyncio.run_coroutine_threadsafe(action(), self._loop).result(DO_SECONDS)

    # sharing

    async def _share(self) -> None:
        await self._show()
        self._sharing.set()

    async def _go_on_sharing(self) -> None:
        await self._sharing.wait()
        while True:
            await asyncio.sleep(SHARE_SECONDS)
            with suppress(OSError, httpx.HTTPError, ClientError):  # the server is away, or busy: next time
                await self._show()

    async def _show(self) -> None:
        """Send what is solved, unless the server has it already; one that was started anew has forgotten it."""
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
                reason=answer.text[:200],
            )
        self._shown = seen


def join(address: str, *, name: str) -> Seat:
    """Take a seat in a class, under a name that all of it sees: ``join("teacher:8000", name="ana")``.

    `address` is what the teacher's screen shows, with or without ``http://`` and ``/join``. When a notebook's cell is
    run again, the seat that its last run took is left first.

    Raises:
        ConnectionError: no class answers there within 5 s.
        RefusedError: it does, and does not want you; often it is the name.
    """
    stop_earlier_run()
    return Seat(_url_of(address), name).start()


def _url_of(address: str) -> str:
    url = address.strip().rstrip("/").removesuffix("/join").rstrip("/")
    if "://" in url:
        return url
    return f"http://{url}" if urlsplit(f"//{url}").port else f"http://{url}:{PORT}"
