"""A shop that pushes orders to one user, and a device that receives them: to count what is lost or doubled.

Whatever happens to servers and cables, the shop pushes each order until it is accepted, and the device reconnects
by itself.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Self

import httpx

from server.access.tokens import issue_session
from server.client import Backoff, Client, ConnectOptions, Disconnect, LostMessages
from server.testing.target import Served

__all__ = ["InboxListener", "Shop", "listen_to_inbox", "shop_and_devices"]

DEADLINE = 15.0  # seconds until what is waited for must have happened
PAUSE = 0.01  # seconds between two orders
AGAIN = 0.05  # seconds until an order that was not accepted is pushed again

OPTIONS = ConnectOptions(proxy=None, backoff=Backoff(base=0.05, maximum=0.2))


class Shop:
    """Push "order 1", "order 2", … to a user while the block runs: ``async with Shop(urls, headers) as shop: …``.

    `urls` are the HTTP addresses of one or more servers, used in turn. `headers` hold a token with the scope "push".
    Each order is pushed with the same key until it is answered with 202.
    """

    def __init__(self, urls: Sequence[str], headers: Mapping[str, str], *, user: str = "ana") -> None:
        self.accepted: list[str] = []
        """The orders that were answered with 202, in order."""
        self.retries = 0
        """How often an order was not accepted and was pushed again with the same key."""
        self._urls: Iterator[str] = cycle(urls)
        self._headers = dict(headers)
        self._path = f"users/{user}/notifications"
        self._batch = secrets.token_hex(4)  # another shop's "order 1" is another order
        self._over = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._pushing = asyncio.create_task(self._push_all(), name="shop")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Stop when the current order has been accepted.

        Raises:
            TimeoutError: it was not accepted within 15 s.
        """
        self._over.set()
        async with asyncio.timeout(DEADLINE):
            await self._pushing

    async def wait_for_orders(self, number: int = 10) -> None:
        """Wait until this many more orders have been accepted.

        Raises:
            TimeoutError: they were not accepted within 15 s.
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
            self.retries += 1
            await asyncio.sleep(AGAIN)


class InboxListener:
    """A device of the user, and what it has received; made by `listen_to_inbox`."""

    def __init__(self, client: Client) -> None:
        self.received: list[str] = []
        """The texts of all notifications, in the order in which they arrived."""
        self._client = client

    @property
    def connected(self) -> bool:
        """Whether the device is connected now."""
        return self._client.state == "open"

    @property
    def last_disconnect(self) -> Disconnect | None:
        """How the last connection ended; None while the first is open."""
        return self._client.last_disconnect

    async def until(self, done: Callable[[Self], object]) -> None:
        """Wait until ``done(listener)`` is true.

        Raises:
            TimeoutError: it was not true within 15 s.
        """
        await _until(lambda: done(self))


@asynccontextmanager
async def listen_to_inbox(url: str, token: str, device: str) -> AsyncIterator[InboxListener]:
    """Receive a user's notifications while the block runs.

    Example: ``async with listen_to_inbox(url, token, "phone") as phone: …``; then ``phone.received`` are their texts.
    `url` is the HTTP address of the server, `token` says whose inbox it is, and `device` is a name for the connection.

    Raises:
        TimeoutError: the server sent no `welcome` within 15 s.
        RefusedError: the server refuses the token.
    """
    async with (
        asyncio.timeout(DEADLINE) as connecting,
        Client(url, token=token, device=device, options=OPTIONS) as client,
    ):
        connecting.reschedule(None)
        listener = InboxListener(client)
        reading = asyncio.create_task(_read(client, listener.received), name=f"listening-{device}")
        try:
            await _until(lambda: client.read_state is not None or reading.done())
            yield listener
        finally:
            reading.cancel()
            await asyncio.wait([reading])


@asynccontextmanager
async def shop_and_devices(
    key: str, servers: Sequence[Served], phone_at: Served, laptop_at: Served
) -> AsyncIterator[tuple[Shop, InboxListener, InboxListener]]:
    """Push orders to Ana while the block runs, and receive them on two devices.

    Example: ``async with shop_and_devices(KEY, [backend], tap, backend) as (shop, phone, laptop): …``.

    `key` is the servers' own. The shop pushes to all of `servers` in turn. `phone_at` and `laptop_at` are what these
    devices connect to: a server, or a `Tap`. At the end of the block the shop stops, and both devices have 15 s to
    receive as many orders as were accepted. Then compare ``shop.accepted`` with ``phone.received``.

    Raises:
        TimeoutError: a device received fewer.
    """
    ana = issue_session("ana", key=key, seconds=60)
    pusher = issue_session("shop", key=key, seconds=60, scope="push")
    async with (
        listen_to_inbox(_http(phone_at), ana, "phone") as first,
        listen_to_inbox(_http(laptop_at), ana, "laptop") as second,
    ):
        urls = [_http(server) for server in servers]
        async with Shop(urls, {"Authorization": f"Bearer {pusher}"}) as running:
            yield running, first, second
        for device in (first, second):
            await device.until(lambda device: len(device.received) >= len(running.accepted))


def _http(server: Served) -> str:
    return server.url("/").replace("ws", "http", 1)


async def _read(client: Client, received: list[str]) -> None:
    async for notification in client.inbox():
        received.append("(lost for good)" if isinstance(notification, LostMessages) else notification.text)


async def _until(done: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not done():  # noqa: ASYNC110  # it may be about another thread
            await asyncio.sleep(PAUSE)
