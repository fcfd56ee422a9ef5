"""Commands to the engine over one connection: those that are due at once travel together, in their order.

While one group is on its way the next gathers, so a busy server sends larger groups and not more of
them. A group whose answer was lost is sent again: every command here has the same effect twice as once.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import (
    ClusterDownError,
    MasterDownError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from .protocol import UnavailableError
from .scripts import SCRIPTS, Script

__all__ = ["Client", "Courier", "RefusedError"]

Client = Redis | RedisCluster

WAITING = 10_000  # commands that wait for the engine; more are refused at once
TOGETHER = 128  # commands of one group
FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.5  # seconds between attempts, at most; each is shortened at random

# what an engine answers while another takes over from it; Redis 6 says it in the text of a script's error
_PASSING = (ClusterDownError, MasterDownError, ReadOnlyError, TryAgainError)
_PASSING_WORDS = ("-CLUSTERDOWN ", "-MASTERDOWN ", "-READONLY ", "-TRYAGAIN ")


class RefusedError(UnavailableError):
    """The engine answered with an error: the command had no effect."""


class _Order:
    """A command and who waits for its answer."""

    __slots__ = ("answer", "command", "repeatable")

    def __init__(self, command: Sequence[Any], repeatable: bool) -> None:
        self.command = command
        self.repeatable = repeatable
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)

    def abandon(self) -> None:
        """Nobody waits for the answer any longer; the command is not sent again."""
        if not self.answer.cancel() and not self.answer.cancelled():
            self.answer.exception()  # the first of several has been raised; asyncio would report the others


class Courier:
    """Sends commands in groups for as long as `run` runs; `name` is the engine's, for errors."""

    def __init__(self, client: Client, name: str, deadline: float) -> None:
        self._client = client
        self._name = name
        self._deadline = deadline
        self._orders: deque[_Order] = deque()
        self._due = asyncio.Event()
        self._trouble = ""

    async def call(self, script: Script, keys: Sequence[str], *arguments: Any) -> Any:
        """The answer of a script.

        Raises:
            UnavailableError: there is none within the deadline.
            RefusedError: the engine answered with an error.
        """
        return (await self.send([("EVALSHA", script.sha, len(keys), *keys, *arguments)]))[0]

    async def send(self, commands: Iterable[Sequence[Any]], *, repeatable: bool = True) -> list[Any]:
        """The answers of several commands, in their order; one that is not `repeatable` is sent at most once.

        Raises:
            UnavailableError, RefusedError: as `call`.
        """
        orders = [_Order(command, repeatable) for command in commands]
        if len(self._orders) + len(orders) > WAITING:
            raise UnavailableError(f"{len(self._orders)} commands wait for {self._name} already; send fewer")
        self._orders.extend(orders)
        self._due.set()
        try:
            async with asyncio.timeout(self._deadline):
                return [await order.answer for order in orders]
        except TimeoutError:
            trouble = self._trouble and f" ({self._trouble})"
            raise UnavailableError(f"{self._name} did not answer within {self._deadline:g} s{trouble}") from None
        finally:
            for order in orders:
                order.abandon()

    async def run(self) -> None:
        """Send what is due, until cancelled."""
        pause = FIRST_PAUSE
        while True:
            await self._due.wait()
            if await self._send_group():
                pause = FIRST_PAUSE
            else:
                await asyncio.sleep(random.uniform(0, pause))
                pause = min(2 * pause, LONGEST_PAUSE)

    async def _send_group(self) -> bool:
        """Send one group; whether the engine answered."""
        group = self._next_group()
        if not group:
            return True
        pipeline = self._client.pipeline(transaction=False)
        for order in group:
            pipeline.execute_command(*order.command)
        try:
            # half the deadline, so that a connection that swallows what it is given leaves time for another
            async with asyncio.timeout(self._deadline / 2):
                answers = await pipeline.execute(raise_on_error=False)
        except Exception as error:  # also AttributeError: so Python 3.13 says that a transport is closed
            self._trouble = str(error) or "no answer"
            self._again(group)
            return False
        return await self._hand_out(group, answers)

    def _next_group(self) -> list[_Order]:
        group: list[_Order] = []
        while self._orders and len(group) < TOGETHER:
            order = self._orders.popleft()
            if not order.answer.done():
                group.append(order)
        if not self._orders:
            self._due.clear()
        return group

    async def _hand_out(self, group: list[_Order], answers: list[Any]) -> bool:
        again, causes = [], []
        for order, answer in zip(group, answers, strict=True):
            if _passes(answer):
                causes.append(answer)
                again.append(order)
            elif isinstance(answer, Exception):
                order.fail(RefusedError(f"{self._name} refuses: {answer}"))
            elif not order.answer.done():
                order.answer.set_result(answer)
        if not again:
            return True
        self._trouble = str(causes[-1])
        self._again(again)
        if all(isinstance(cause, NoScriptError) for cause in causes):
            return await self._load()
        if isinstance(self._client, Redis):
            with suppress(RedisError, OSError):  # its address may belong to another engine by now
                await self._client.connection_pool.disconnect(inuse_connections=False)
        return False

    async def _load(self) -> bool:
        """Give the engine the scripts, which it forgets when it restarts; whether it took them."""
        try:
            async with asyncio.timeout(self._deadline / 2):
                for script in SCRIPTS:
                    await self._client.script_load(script.source)
        except Exception as error:
            self._trouble = str(error) or "no answer"
            return False
        return True

    def _again(self, group: list[_Order]) -> None:
        for order in reversed(group):
            if order.repeatable:
                self._orders.appendleft(order)
                self._due.set()
            else:
                order.fail(UnavailableError(f"{self._name} did not answer ({self._trouble})"))


def _passes(answer: Any) -> bool:
    """Whether the engine asks to be asked again."""
    if isinstance(answer, (NoScriptError, *_PASSING)):
        return True
    return isinstance(answer, ResponseError) and any(word in str(answer) for word in _PASSING_WORDS)
