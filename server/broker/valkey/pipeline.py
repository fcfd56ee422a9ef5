"""Commands to the engine over one connection: whatever waits is sent together, in order, in one pipeline.

While one batch is on its way the next one gathers, so a busy server sends larger batches instead of more of
them. A batch whose answer was lost is sent again: every command here has the same effect twice as once.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline as RedisPipeline
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

from ..interface import LogFullError, UnavailableError
from .scripts import SCRIPTS, Script

__all__ = ["Client", "Command", "Pipeline", "RefusedError", "evalsha"]

Client = Redis | RedisCluster
Command = Callable[[], Sequence[Any]]
"""Makes a command each time it is sent, so that it tells the engine what is known by then."""

MAX_WAITING = 10_000  # commands that wait for the engine; more are refused at once
MAX_BATCH = 128  # commands in one batch
FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.5  # seconds between attempts, at most; each is shortened at random

# what an engine answers while another one takes over; Redis 6 says it in the text of a script's error
_TEMPORARY = (ClusterDownError, MasterDownError, ReadOnlyError, TryAgainError)
_TEMPORARY_WORDS = ("-CLUSTERDOWN ", "-MASTERDOWN ", "-READONLY ", "-TRYAGAIN ")

_FULL_WORDS = "command not allowed when used memory > 'maxmemory'"  # also in the text of a script's error
FULL_SECONDS = 60.0  # between two warnings that the engine is full

_log = logging.getLogger(__name__)


class RefusedError(UnavailableError):
    """The engine answered with an error: the command had no effect."""


class _FullError(RefusedError, LogFullError):
    """The engine has no memory left, and must not drop anything."""


class _Request:
    """A command and the future of its answer."""

    __slots__ = ("answer", "command", "repeatable")

    def __init__(self, command: Command, repeatable: bool) -> None:
        self.command = command
        self.repeatable = repeatable
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)

    def cancel(self) -> None:
        """Don't send the command again: nobody waits for its answer any longer."""
        if not self.answer.cancel() and not self.answer.cancelled():
            self.answer.exception()  # the first of several was raised; asyncio would report the others


class Pipeline:
    """Sends commands in batches for as long as `run` runs; `name` is the engine's, for errors."""

    def __init__(self, client: Client, name: str, deadline: float) -> None:
        self._client = client
        self._name = name
        self._deadline = deadline
        self._requests: deque[_Request] = deque()
        self._waiting = asyncio.Event()
        self._last_error = ""
        self._warned_at = -math.inf

    async def call(self, script: Script, keys: Sequence[str], arguments: Callable[[], Sequence[Any]]) -> Any:
        """Run a script and return its answer; its arguments are made each time it is sent.

        Raises:
            UnavailableError: there is no answer within the deadline.
            RefusedError: the engine answered with an error.
        """
        return (await self.send([evalsha(script, keys, arguments)]))[0]

    async def send(self, commands: Iterable[Command], *, repeatable: bool = True) -> list[Any]:
        """Send several commands and return their answers, in order; send one that isn't `repeatable` at most once.

        Raises:
            UnavailableError: there is no answer within the deadline.
            RefusedError: the engine answered with an error.
        """
        requests = [_Request(command, repeatable) for command in commands]
        if len(self._requests) + len(requests) > MAX_WAITING:
            raise UnavailableError(f"{len(self._requests)} commands wait for {self._name} already; send fewer")
        self._requests.extend(requests)
        self._waiting.set()
        try:
            async with asyncio.timeout(self._deadline):
                return [await request.answer for request in requests]
        except TimeoutError:
            reason = self._last_error and f" ({self._last_error})"
            raise UnavailableError(f"{self._name} did not answer within {self._deadline:g} s{reason}") from None
        finally:
            for request in requests:
                request.cancel()

    async def run(self) -> None:
        """Send whatever waits, until cancelled."""
        pause = FIRST_PAUSE
        while True:
            await self._waiting.wait()
            if await self._send_batch():
                pause = FIRST_PAUSE
            else:
                await asyncio.sleep(random.uniform(0, pause))
                pause = min(2 * pause, LONGEST_PAUSE)

    async def _send_batch(self) -> bool:
        """Send one batch; return whether the engine answered."""
        batch = self._next_batch()
        if not batch:
            return True
        try:
            # half the deadline: if this connection doesn't answer, there is time to try another one
            async with asyncio.timeout(self._deadline / 2):
                answers = await self._execute(batch)
        except Exception as error:  # also AttributeError, by which Python 3.13 reports a closed transport
            self._last_error = str(error) or "no answer"
            self._requeue(batch)
            return False
        return await self._resolve(batch, answers)

    async def _execute(self, batch: Sequence[_Request]) -> list[Any]:
        """Send a batch and return the answers.

        A command tells the engine what this process has seen, because the engine may have come back without it. So
        commands are made when the connection is established: what is seen while it is being established counts. A
        cluster's client connects when it sends, where that isn't possible.
        """
        async with self._client.pipeline(transaction=False) as pipeline:
            if isinstance(pipeline, RedisPipeline):
                pipeline.connection = await pipeline.connection_pool.get_connection()  # type: ignore[no-untyped-call]
            for request in batch:
                pipeline.execute_command(*request.command())
            answers: list[Any] = await pipeline.execute(raise_on_error=False)
            return answers

    def _next_batch(self) -> list[_Request]:
        batch: list[_Request] = []
        while self._requests and len(batch) < MAX_BATCH:
            request = self._requests.popleft()
            if not request.answer.done():
                batch.append(request)
        if not self._requests:
            self._waiting.clear()
        return batch

    async def _resolve(self, batch: list[_Request], answers: list[Any]) -> bool:
        """Hand each answer to whoever waits for it; return whether the next batch can be sent at once."""
        again, errors = [], []
        for request, answer in zip(batch, answers, strict=True):
            if _is_temporary(answer):
                errors.append(answer)
                again.append(request)
            elif isinstance(answer, Exception):
                request.fail(self._refusal(answer))
            elif not request.answer.done():
                request.answer.set_result(answer)
        if not again:
            return True
        self._last_error = str(errors[-1])
        self._requeue(again)
        if all(isinstance(error, NoScriptError) for error in errors):
            return await self._load_scripts()
        if isinstance(self._client, Redis):
            with suppress(RedisError, OSError):  # another engine may have the address by now
                await self._client.connection_pool.disconnect(inuse_connections=False)
        return False

    def _refusal(self, answer: Exception) -> RefusedError:
        if _FULL_WORDS not in str(answer):
            return RefusedError(f"{self._name} refuses: {answer}")
        now = asyncio.get_running_loop().time()
        if now > self._warned_at + FULL_SECONDS:
            self._warned_at = now
            _log.warning("%s is full and stores nothing; raise its maxmemory, or keep less", self._name)
        return _FullError(f"{self._name} refuses: {answer}")

    async def _load_scripts(self) -> bool:
        """Give the engine the scripts, which it forgets when it restarts; return whether it accepted them."""
        try:
            async with asyncio.timeout(self._deadline / 2):
                for script in SCRIPTS:
                    await self._client.script_load(script.source)
        except Exception as error:
            self._last_error = str(error) or "no answer"
            return False
        return True

    def _requeue(self, batch: list[_Request]) -> None:
        for request in reversed(batch):
            if request.repeatable:
                self._requests.appendleft(request)
                self._waiting.set()
            else:
                request.fail(UnavailableError(f"{self._name} did not answer ({self._last_error})"))


def evalsha(script: Script, keys: Sequence[str], arguments: Callable[[], Sequence[Any]]) -> Command:
    """Return the command that runs a script; its arguments are made each time it is sent."""
    return lambda: ("EVALSHA", script.sha, len(keys), *keys, *arguments())


def _is_temporary(answer: Any) -> bool:
    """Return whether the engine can be asked again soon."""
    if isinstance(answer, (NoScriptError, *_TEMPORARY)):
        return True
    return isinstance(answer, ResponseError) and any(word in str(answer) for word in _TEMPORARY_WORDS)
