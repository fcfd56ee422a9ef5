"""The proof that nothing is lost, by counting: what was accepted over HTTP against what every device received."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

import httpx

from server.access.tokens import issue_session
from server.client import Backoff, Client, ConnectOptions, LostMessages
from server.messages import Notification
from tests.server.people import KEY

__all__ = [
    "ENVIRONMENT",
    "DeliveryError",
    "Device",
    "Pushers",
    "Tally",
    "check_deliveries",
    "counted",
    "devices_of",
    "until",
]

ENVIRONMENT = {
    "CHAT_KEY": KEY,
    "CHAT_PUSHES_PER_SECOND": "1000000",
    "CHAT_PUSH_BURST": "1000000",
    "CHAT_INBOX_NOTIFICATIONS": "1000000",
}
"""For the server: no limit that this experiment would meet by itself; ``CHAT_BROKER`` comes on top."""

TOGETHER = 4  # programs that push to one user at the same time
PAUSE = 0.02  # seconds until a push that was not accepted is tried again
ARRIVAL = 30.0  # seconds in which the last of what was accepted must have arrived everywhere
SESSION = 3600  # seconds


class DeliveryError(AssertionError):
    """A device has not received exactly what was accepted for its user."""

    def __init__(self, message: str, *, lost: int, doubled: int) -> None:
        super().__init__(message)
        self.lost = lost
        """How many were accepted and did not arrive, on all devices together."""
        self.doubled = doubled
        """How many arrived twice."""


@dataclass(frozen=True)
class Tally:
    """What was counted."""

    accepted: int
    """Notifications whose 202 has arrived."""
    attempts: int
    """Requests that this took."""
    received: int
    """Notifications that all devices have received, every one of them on each of its user's."""
    connections: int
    """WebSocket connections that all devices have made."""
    codes: frozenset[int]
    """How the devices' last connections ended before these."""
    duplicates: int
    """Notifications that came again and were dropped by the client."""
    seconds: float
    """From the first push to the last arrival."""


@dataclass
class Device:
    """One device of a user, and what it has received."""

    user: str
    name: str
    url: str
    pace: float = 0.0
    """Seconds that it takes for each notification; a slow one holds few, and lets the server wait."""
    heard: list[Notification] = field(default_factory=list)
    missed: list[LostMessages] = field(default_factory=list)
    client: Client | None = None

    @asynccontextmanager
    async def watching(self, seed: int) -> AsyncIterator[None]:
        """Watch the inbox for the length of the block, which begins when the server has answered."""
        options = ConnectOptions(proxy=None, backoff=Backoff(base=0.05, maximum=0.4, draw=random.Random(seed).random))
        token = issue_session(self.user, key=KEY, seconds=SESSION)
        buffer = 4 if self.pace else 64
        async with Client(self.url, token=token, device=self.name, buffer=buffer, options=options) as client:
            self.client = client
            async with asyncio.TaskGroup() as children:
                reading = children.create_task(self._read(client), name=f"device-{self.name}")
                await until(lambda: client.read_state is not None)
                yield
                reading.cancel()

    async def _read(self, client: Client) -> None:
        async for item in client.inbox():
            if isinstance(item, LostMessages):
                self.missed.append(item)
                continue
            self.heard.append(item)
            if self.pace:
                await asyncio.sleep(self.pace)


@dataclass
class Pushers:
    """Programs that push until they are told to stop, each notification until it is accepted."""

    urls: Sequence[str]
    accepted: dict[str, dict[int, str]] = field(default_factory=dict)
    """By user: the text at each offset."""
    attempts: int = 0
    stopping: bool = False

    @property
    def count(self) -> int:
        """How many have been accepted."""
        return sum(map(len, self.accepted.values()))

    async def until_more(self) -> None:
        """Wait until one more is accepted: the server works."""
        before = self.count
        await until(lambda: self.count > before)

    async def push_to(self, http: httpx.AsyncClient, user: str, number: int) -> None:
        """Push to one user, one notification after the other."""
        count = 0
        accepted = self.accepted.setdefault(user, {})
        while not self.stopping:
            count += 1
            text = f"{number}-{count}"
            offset = await self._push(http, user, text)
            assert offset not in accepted, f"{text} and {accepted[offset]} were both accepted as {offset}"
            accepted[offset] = text

    async def _push(self, http: httpx.AsyncClient, user: str, text: str) -> int:
        body = {"kind": "order", "text": text, "key": f"{user}-{text}"}
        while True:
            url = self.urls[self.attempts % len(self.urls)]
            self.attempts += 1
            with suppress(httpx.TransportError):
                answer = await http.post(f"{url}users/{user}/notifications", json=body)
                if answer.status_code == 202:
                    offset: int = answer.json()["position"]["offset"]
                    return offset
                assert answer.status_code >= 500, answer.text
            await asyncio.sleep(PAUSE)


async def counted(
    devices: Sequence[Device], trouble: Callable[[Pushers], Awaitable[None]], urls: Sequence[str]
) -> Tally:
    """Push to every user while `trouble` lasts, and prove that every device got everything, in order, once.

    Pushes go to `urls` in turn.
    """
    pushers = Pushers(urls)
    users = sorted({device.user for device in devices})
    async with AsyncExitStack() as stack:
        for seed, device in enumerate(devices):
            await stack.enter_async_context(device.watching(seed))
        headers = {"Authorization": f"Bearer {issue_session('shop', key=KEY, seconds=SESSION, scope='push')}"}
        http = await stack.enter_async_context(httpx.AsyncClient(headers=headers, timeout=30, trust_env=False))
        began = time.monotonic()
        async with asyncio.TaskGroup() as children:
            for user in users:
                for number in range(TOGETHER):
                    children.create_task(pushers.push_to(http, user, number), name=f"pusher-{user}-{number}")
            try:
                await trouble(pushers)
            finally:
                pushers.stopping = True
        with suppress(TimeoutError):
            await until(lambda: all(_arrived(device, pushers.accepted[device.user]) for device in devices), ARRIVAL)
        seconds = time.monotonic() - began
        clients = [device.client for device in devices if device.client is not None]
    check_deliveries(devices, pushers.accepted)
    return Tally(
        accepted=pushers.count,
        attempts=pushers.attempts,
        received=sum(len(device.heard) for device in devices),
        connections=sum(client.statistics().connections for client in clients),
        codes=frozenset(client.last_disconnect.code for client in clients if client.last_disconnect is not None),
        duplicates=sum(client.statistics().duplicates for client in clients),
        seconds=seconds,
    )


def devices_of(users: int, url: str) -> list[Device]:
    """Three devices for each user, one of them slow."""
    paces = {"phone": 0.0, "laptop": 0.0, "slow": 0.002}
    return [Device(f"user-{user}", name, url, pace) for user in range(users) for name, pace in paces.items()]


def _arrived(device: Device, accepted: Mapping[int, str]) -> bool:
    return len(device.heard) >= len(accepted)


def check_deliveries(devices: Sequence[Device], accepted: Mapping[str, Mapping[int, str]]) -> None:
    """Check that every device got all that was accepted for its user, in the order of the log, once, and nothing else.

    Raises:
        DeliveryError: one did not; the message says what each got.
    """
    lost = doubled = 0
    told = []
    for device in devices:
        expected = sorted(accepted[device.user].items())
        heard = [(item.position.offset, item.text) for item in device.heard]
        missing, twice = sorted(set(expected) - set(heard)), len(heard) - len(set(heard))
        lost, doubled = lost + len(missing), doubled + twice
        who = f"{device.user}'s {device.name}"
        if device.missed:
            told.append(f"{who} was told that something is lost: {device.missed}")
        if len({item.position.epoch for item in device.heard}) > 1:
            told.append(f"{who} saw several epochs")
        if missing:
            told.append(f"{who} never got {len(missing)} of {len(expected)}, such as {missing[0]}")
        elif heard != expected:
            told.append(f"{who} got {len(heard)} of {len(expected)}, {twice} of them twice, or out of order")
    if told:
        raise DeliveryError("; ".join(told), lost=lost, doubled=doubled)


async def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Look every few milliseconds whether a condition holds, until it does.

    Raises:
        TimeoutError: it does not within `seconds`.
    """
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # it may be about another thread
            await asyncio.sleep(0.005)
