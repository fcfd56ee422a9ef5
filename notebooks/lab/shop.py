"""A shop that pushes to one user, and a device that listens: for counting what becomes of what was accepted.

Whatever is done to servers and cables meanwhile, the shop pushes each order until it is accepted, and the device comes
back by itself.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Self

import httpx

from server.client import Backoff, Client, Loss, Missed, Wires

__all__ = ["Listener", "Shop", "listening"]

DEADLINE = 4.0  # seconds until what is waited for must have happened
PAUSE = 0.01  # seconds between two orders
AGAIN = 0.05  # seconds until an order that was not accepted is pushed again

WIRES = Wires(proxy=None, backoff=Backoff(base=0.05, longest=0.2))


class Shop:
    """Pushes "order 1", "order 2", … to a user for the length of the block, to the servers in turn."""

    def __init__(self, urls: Sequence[str], headers: Mapping[str, str], *, user: str = "ana") -> None:
        self.accepted: list[str] = []
        """The orders that were answered with 202, in their order."""
        self.again = 0
        """How many times one was not accepted and pushed again, with the same key."""
        self._urls: Iterator[str] = cycle(urls)
        self._headers = dict(headers)
        self._path = f"users/{user}/notifications"
        self._batch = secrets.token_hex(4)  # another shop's "order 1" is another order
        self._over = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._pushing = asyncio.create_task(self._push_all(), name="shop")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Stop when the order that is under way has been accepted.

        Raises:
            TimeoutError: it was not, within 4 s.
        """
        self._over.set()
        async with asyncio.timeout(DEADLINE):
            await self._pushing

    async def more(self, number: int = 10) -> None:
        """Wait until so many more have been accepted.

        Raises:
            TimeoutError: they were not, within 4 s.
        """
        enough = len(self.accepted) + number
        await _until(lambda: len(self.accepted) >= enough or self._pushing.done())

    async def _push_all(self) -> None:
        async with httpx.AsyncClient(headers=self._headers, timeout=DEADLINE, trust_env=False) as http:
            while not self._over.is_set():
                await self._push(http, f"order {len(self.accepted) + 1}")
                await asyncio.sleep(PAUSE)

    async def _push(self, http: httpx.AsyncClient, text: str) -> None:
        order = {"kind": "order", "text": text, "key": f"{self._batch} {text}"}
        while True:
            try:
                answer = await http.post(next(self._urls) + self._path, json=order)
                if answer.status_code == httpx.codes.ACCEPTED:
                    self.accepted.append(text)
                    return
                if answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR:
                    answer.raise_for_status()
            except httpx.TransportError:
                pass  # nobody answers: stored or not, the key makes it safe to push again
            self.again += 1
            await asyncio.sleep(AGAIN)


class Listener:
    """A device of the user, and what it has heard."""

    def __init__(self, client: Client) -> None:
        self.heard: list[str] = []
        """The texts of all notifications, in the order in which they came."""
        self._client = client

    @property
    def connected(self) -> bool:
        """Whether messages go both ways."""
        return self._client.state == "open"

    @property
    def loss(self) -> Loss | None:
        """How the last connection ended; None while none has."""
        return self._client.loss

    async def until(self, done: Callable[[Self], object]) -> None:
        """Wait until ``done(listener)`` is true.

        Raises:
            TimeoutError: it was not, within 4 s.
        """
        await _until(lambda: done(self))


@asynccontextmanager
async def listening(url: str, token: str, device: str) -> AsyncIterator[Listener]:
    """Listen to the inbox of the one whose token it is, for the length of the block.

    Raises:
        TimeoutError: the server said no welcome within 4 s.
        RefusedError: it does not let us in.
    """
    async with asyncio.timeout(DEADLINE) as entering, Client(url, token=token, device=device, wires=WIRES) as client:
        entering.reschedule(None)
        listener = Listener(client)
        reading = asyncio.create_task(_read(client, listener.heard), name=f"listening-{device}")
        try:
            await _until(lambda: client.standing is not None or reading.done())
            yield listener
        finally:
            reading.cancel()
            await asyncio.wait([reading])


async def _read(client: Client, heard: list[str]) -> None:
    async for notification in client.inbox():
        heard.append("(lost for good)" if isinstance(notification, Missed) else notification.text)


async def _until(done: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not done():  # noqa: ASYNC110  # it may be about another thread
            await asyncio.sleep(PAUSE)
