"""A trial of the reader's WebSocket handler: a real server, real clients, and deadlines.

    with Trial(shout) as trial, trial.connect() as client:
        client.send("hi")
        client.expect("HI")

Whatever goes wrong raises `NotYet` with what was sent, what came and what was expected.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from types import TracebackType
from typing import Any, NamedTuple, NoReturn, Self

from fastapi import FastAPI
from fastapi.routing import APIWebSocketRoute
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from server import BackgroundServer, ServerError, StopError, serve

from ...observe.expect import one_line
from ...observe.origin import package_of
from ..verdict import NotYet, reason_of, refuse_stub, stop_thread
from .client import TrialClient
from .time_budget import remaining, retry_on_timeout
from .unawaited import unawaited
from .unstarted import unstarted

__all__ = ["Answer", "Trial"]

OPTIONS: dict[str, Any] = {"compression": None, "ping_interval": None, "close_timeout": 0.2, "proxy": None}

Around = Callable[[Any, Any, Any, Any], Awaitable[None]]

HANDSHAKE = 5.0  # seconds that the first answer of a server may take on a busy machine
MACHINERY = ("uvicorn", "websockets", "asyncio")  # whose tasks are the server's own


class Answer(NamedTuple):
    """The HTTP answer that refused a handshake."""

    status: int
    body: str


class Trial:
    """The reader's handler, or a whole app, on a real server while the ``with`` block runs."""

    def __init__(self, handler: Any, *, path: str = "/ws", around: Around | None = None, **options: Any) -> None:
        """`around` is called with the app and what an app is called with, for each connection, and calls the app."""
        refuse_stub(handler)
        for one in _endpoints(handler):
            if forgotten := unawaited(one):
                raise NotYet(
                    f"`{forgotten}` has no `await` in front of it, so it never runs; write `await {forgotten}`"
                )
        self.handler = handler
        self.name = getattr(handler, "__name__", "the app")
        self.path = path
        self._app = handler if hasattr(handler, "routes") else _app_of(handler, self.name, path)
        self._around = around
        self._options = options
        self._clients = ExitStack()
        self._changed = threading.Condition()
        self._running: set[asyncio.Task[Any]] = set()
        self._cancelled: set[asyncio.Task[Any]] = set()
        self._outlived: list[str] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        try:
            self.server: BackgroundServer = serve(self._watched, **({"ws_ping_interval": None} | self._options))
        except ServerError as error:
            raise NotYet(str(error)) from None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._loop_answers():
            self._clients.close()
            self.server.stop()
            return
        stop_thread(self.server._thread)
        # a blocking call can keep the server for longer than a verdict may take
        stopping = threading.Thread(target=self._stop_late, name="verdict", daemon=True)
        stopping.start()
        stopping.join(0.2)
        raise NotYet(f"{self.name} blocks the server's loop; it must await, so no time.sleep and no endless loop")

    def _loop_answers(self) -> bool:
        if self._loop is None:
            return True
        answered = threading.Event()
        self._loop.call_soon_threadsafe(answered.set)
        try:
            retry_on_timeout(lambda seconds: _wait(answered, max(0.2, seconds)))
        except TimeoutError:
            return False
        return True

    def _stop_late(self) -> None:
        with suppress(StopError):
            self._clients.close()
            self.server.stop()

    async def _watched(self, scope: Any, receive: Any, send: Any) -> None:
        """Run the app, and count the WebSocket handlers that run now."""
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        with self._changed:
            self._running.add(task)
        try:
            if self._around is None:
                await self._app(scope, receive, send)
            else:
                await self._around(self._app, scope, receive, send)
        except Exception as error:
            self._error = error
            raise
        except asyncio.CancelledError as error:
            if task not in self._cancelled:  # nobody has cancelled the handler: a task that it awaited was cancelled
                self._error = error
            raise
        finally:
            with self._changed:
                self._outlived = self._tasks()
                self._running.remove(task)
                self._changed.notify_all()

    def cancel(self) -> None:
        """Cancel the handlers that run, as a server does that is forced to stop."""
        assert self._loop is not None
        for task in tuple(self._running):
            self._cancelled.add(task)
            self._loop.call_soon_threadsafe(task.cancel)

    def connect(self, path: str | None = None, **options: Any) -> TrialClient:
        """Connect a client; `options` go to websockets' ``connect``.

        Raises:
            NotYet: the handshake was refused or not answered.
        """
        try:
            return TrialClient(self._connect(path, options), self.failure, self._hint)
        except InvalidStatus as refused:
            self._refuse_refusal(refused.response.status_code)
        except (InvalidHandshake, OSError, EOFError) as error:
            why = self.failure() or f"{one_line(error)}; call `await websocket.accept()` first"
            raise NotYet(f"the client could not connect: {why}") from None

    def refusal(self, path: str | None = None, **options: Any) -> Answer:
        """Connect, and return the HTTP answer with which the server refuses.

        Raises:
            NotYet: the handshake was accepted, not answered, or the handler raised.
        """
        try:
            client = self._connect(path, options)
        except InvalidStatus as refused:
            if failure := self.failure():
                raise NotYet(f"the handshake failed with HTTP {refused.response.status_code}: {failure}") from None
            return Answer(refused.response.status_code, refused.response.body.decode(errors="replace"))
        except (InvalidHandshake, OSError, EOFError) as error:
            raise NotYet(f"the handshake got no HTTP answer: {self.failure() or one_line(error)}") from None
        with client:
            raise NotYet("the handshake was accepted (101), expected a refusal")

    def _connect(self, path: str | None, options: dict[str, Any]) -> ClientConnection:
        url = self.server.url(path or self.path)

        def attempt(seconds: float) -> ClientConnection:
            connecting: AbstractContextManager[ClientConnection] = connect(
                url, open_timeout=max(seconds, HANDSHAKE), **(OPTIONS | options)
            )
            return self._clients.enter_context(connecting)

        return retry_on_timeout(attempt)

    def _refuse_refusal(self, status: int) -> NoReturn:
        why = self.failure() or f"{self.name} never called `await websocket.accept()`"
        raise NotYet(f"the handshake was refused with HTTP {status}: {why}") from None

    def failure(self) -> str | None:
        """Return the last exception that the handler raised, in one line, or None."""
        if self._error is None:
            return None
        refuse_stub(self.handler, self._error)
        return f"{self.name} raised {reason_of(self._error, self.handler)}"

    def _hint(self) -> str:
        """Return why the handler may be silent, to be added to a sentence; "" if nothing is known."""
        name = next((found for one in _endpoints(self.handler) if (found := unstarted(one))), None)
        remedy = f"start it with `asyncio.create_task({name}(…))`, or `await` it"
        return f"; `{name}(…)` was called, and never started: {remedy}" if name else ""

    def outlived(self) -> list[str]:
        """Return the names of the reader's tasks that still ran when the last handler ended."""
        return self._outlived

    def wait_ended(self, after: str = "the client left") -> None:
        """Wait until no handler runs and no task that one started is left; `after` says what should end them.

        Raises:
            NotYet: something still runs when the check's time is over; the message names it.
        """
        try:
            retry_on_timeout(self._wait_for_handlers)
        except TimeoutError:
            raise NotYet(
                f"{after}, but {self.name} still runs; "
                "keep a receiver waiting, and let the handler end when the receiver does"
            ) from None
        while (left := self._tasks()) and remaining():
            time.sleep(0.01)  # a task that was cancelled and not awaited needs a moment
        if left:
            raise NotYet(f"{after}, but the task {left[0]} still runs; cancel and await it in a `finally`")

    def _wait_for_handlers(self, seconds: float) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: not self._running, seconds):
                raise TimeoutError

    def _tasks(self) -> list[str]:
        """Return the names of the reader's coroutines that still run in tasks."""
        left = []
        for task in asyncio.all_tasks(self._loop) if self._loop is not None else ():
            coroutine = task.get_coro()
            if (package := package_of(coroutine)) is not None and package not in MACHINERY:
                left.append(str(getattr(coroutine, "__name__", coroutine)))
        return sorted(left)


def _endpoints(handler: Any) -> list[Any]:
    """Return the handler, or the handlers of an app's WebSocket routes."""
    routes = getattr(handler, "routes", None)
    return [handler] if routes is None else [one.endpoint for one in routes if isinstance(one, APIWebSocketRoute)]


def _wait(event: threading.Event, seconds: float) -> None:
    if not event.wait(seconds):
        raise TimeoutError


def _app_of(handler: Any, name: str, path: str) -> FastAPI:
    app = FastAPI()
    try:
        app.websocket(path)(handler)
    except Exception as error:
        raise NotYet(f"FastAPI does not take {name} as a handler: {one_line(error)}") from None
    route = next(route for route in app.routes if isinstance(route, APIWebSocketRoute))
    if route.dependant.websocket_param_name is None:
        raise NotYet(f"{name} has no WebSocket to talk through; write `async def {name}(websocket: WebSocket)`")
    if not inspect.iscoroutinefunction(handler):
        raise NotYet(f"{name} is a plain function; write `async def {name}`")
    return app
