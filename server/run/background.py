"""A real uvicorn server in a thread of this process: ``with serve(app) as server: …``.

The thread runs its own event loop, so the server keeps running while a notebook's cell
waits or blocks.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import threading
import traceback
from collections import deque
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Self

import uvicorn

from ..errors import StartError, StopError
from .log import LENGTH, Log, Records, keep_log
from .registry import discard, enter, entered, stop_earlier_run
from .sockets import HOST, asgi_app, bind

__all__ = ["BackgroundServer", "ports_served", "running", "serve"]

START_DEADLINE = 4.0  # seconds until a start fails
GRACE = 0.4  # seconds that handlers get to finish before they are cancelled
STOP_DEADLINE = 0.8  # seconds until the main task is cancelled, whatever is still running

ports_served: set[int] = set()
"""Every port that this process has served on, including those of stopped servers."""


class _UvicornServer(uvicorn.Server):
    """A `uvicorn.Server` that signals when it accepts, and stops at once when it is idle."""

    def __init__(self, config: uvicorn.Config, ready: threading.Event) -> None:
        super().__init__(config)
        self._ready = ready
        self._wake = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready.set()

    async def main_loop(self) -> None:
        # uvicorn checks should_exit ten times a second; the event saves 50 ms per stop
        counter = 0
        while not await self.on_tick(counter):
            counter += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), 0.1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)
            for connection in list(self.server_state.connections):
                # close() waits for a peer that doesn't read; without abort() its socket would stay open
                connection.transport.abort()
            return
        # nothing to drain: skip uvicorn's fixed pause of 100 ms
        for server in self.servers:
            server.close()
        await self.lifespan.shutdown()

    def request_stop(self) -> None:
        self.should_exit = True
        self._wake.set()


class BackgroundServer:
    """A uvicorn server on 127.0.0.1, in a daemon thread with its own event loop.

    Made by `serve`. It is a context manager: leaving the block stops it.
    """

    def __init__(self, app: Any, *, port: int = 0, listener: socket.socket | None = None, **options: Any) -> None:
        self.app = asgi_app(app)
        self._records: Records = deque(maxlen=LENGTH)
        self._cause: BaseException | None = None
        self._lifespan_failed = False
        self._config = self._configure(options)
        self._socket = listener or bind(port)
        self.port: int = self._socket.getsockname()[1]
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"server-{self.port}", daemon=True)
        self._stopping = threading.Lock()

    def _configure(self, options: dict[str, Any]) -> uvicorn.Config:
        defaults: dict[str, Any] = {
            "interface": "asgi3",
            "lifespan": "auto",
            "log_config": None,
            "log_level": "info",
            "timeout_graceful_shutdown": GRACE,
        }
        with keep_log(self._records):
            try:
                config = uvicorn.Config(self._app_with_cause, host=HOST, **(defaults | options))
                self._new_loop = config.get_loop_factory() or asyncio.new_event_loop
            except TypeError as error:
                raise StartError(f"{error}; see uvicorn.Config for the options that serve() passes on") from None
            except SystemExit:
                raise StartError(self._failure()) from None
        return config

    async def _app_with_cause(self, scope: Any, receive: Any, send: Any) -> None:
        """Call the app, and keep an exception of its lifespan, which uvicorn only logs."""
        try:
            await self.app(scope, receive, send)
        except BaseException as error:
            if scope["type"] == "lifespan":
                self._cause, self._lifespan_failed = error, True
            raise

    # addresses and state

    def url(self, path: str = "/") -> str:
        """Return the WebSocket address of `path`: ``ws://127.0.0.1:…``, or ``wss://`` with TLS."""
        return f"{'wss' if self._config.is_ssl else 'ws'}://{HOST}:{self.port}{_rooted(path)}"

    def http(self, path: str = "/") -> str:
        """Return the HTTP address of `path`: ``http://127.0.0.1:…``, or ``https://`` with TLS."""
        return f"{'https' if self._config.is_ssl else 'http'}://{HOST}:{self.port}{_rooted(path)}"

    @property
    def log(self) -> Log:
        """The last 1,000 records that uvicorn and the server's loop have logged, oldest first."""
        return Log(self._records)

    @property
    def connections(self) -> int:
        """The number of WebSocket connections that are open on this server now."""
        kind = self._config.ws_protocol_class if self._config.loaded else None
        return sum(1 for protocol in list(self._server.server_state.connections) if type(protocol) is kind)

    @property
    def alive(self) -> bool:
        """Whether the server's thread is running."""
        return self._thread.is_alive()

    # start and stop

    def start(self) -> None:
        """Start the thread, and return as soon as the server accepts connections.

        Raises:
            StartError: the server could not start within 4 s; the message names the cause.
        """
        self._thread.start()
        in_time = self._ready.wait(START_DEADLINE)
        if in_time and self._cause is None and self._thread.is_alive():
            ports_served.add(self.port)
            enter(self)
            return
        line = _blocked_at(self._thread)
        with suppress(StopError):
            self.stop()
        if not in_time:
            raise StartError(
                f"the app's lifespan did not reach its yield within {START_DEADLINE:g} s"
                f"{line and f', it blocks in {line}'}; give what it waits for a deadline"
            )
        raise StartError(self._failure()) from self._cause

    def stop(self) -> None:
        """Close every connection with 1012, end every handler, and join the thread, within 1 s.

        Handlers get 0.4 s to finish, then they are cancelled. Do nothing if the server has stopped already.

        Raises:
            StopError: a handler blocks the server's loop, so its thread can't end.
        """
        if threading.current_thread() is self._thread:
            raise StopError("stop() was called by a handler of the same server; call it from the notebook or a test")
        with self._stopping:
            if self._thread.is_alive():
                self._signal(self._server.request_stop)
                self._thread.join(STOP_DEADLINE)
            if self._thread.is_alive():
                self._signal(self._cancel_main)
                self._thread.join(1.0 - STOP_DEADLINE)
            discard(self)
            if self._thread.is_alive():
                raise StopError(
                    f"the server on port {self.port} cannot stop, a handler blocks its loop in "
                    f"{_blocked_at(self._thread)}; await instead of blocking, or use asyncio.to_thread"
                )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<BackgroundServer {'running' if self.alive else 'stopped'}>"

    # in the server's thread

    def _run(self) -> None:
        with keep_log(self._records):
            try:
                # never Server.run() or asyncio.run(): nest-asyncio replaces both for the whole process
                self._loop = self._new_loop()
                self._loop.set_exception_handler(self._loop_error)
                self._server = _UvicornServer(self._config, self._ready)
                self._main = self._loop.create_task(self._server.serve(sockets=[self._socket]))
                self._loop.run_until_complete(self._main)
            except asyncio.CancelledError:
                pass
            except BaseException as error:
                self._cause = self._cause or error
            finally:
                self._clean_up()
                self._ready.set()

    def _clean_up(self) -> None:
        self._socket.close()
        if (tasks := asyncio.all_tasks(self._loop)) and not self._loop.is_closed():
            for task in tasks:
                task.cancel()
            self._finish(asyncio.wait(tasks, timeout=0.1))
            for task in tasks:
                _close_task(task)
        self._finish(self._loop.shutdown_asyncgens())
        self._loop.close()

    def _finish(self, rest: Coroutine[Any, Any, Any]) -> None:
        """Run the loop until `rest` has finished; an earlier `loop.stop()` can end only the first run."""
        task = self._loop.create_task(rest)
        for _ in range(3):
            with suppress(RuntimeError):
                self._loop.run_until_complete(task)
            if task.done():
                return

    def _loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        exc_info = (type(error), error, error.__traceback__) if error is not None else None
        logging.getLogger("uvicorn.error").error(context["message"], exc_info=exc_info)

    def _cancel_main(self) -> None:
        self._main.cancel()

    def _signal(self, callback: Any) -> None:
        with suppress(RuntimeError):  # the loop has closed in the meantime
            self._loop.call_soon_threadsafe(callback)

    def _failure(self) -> str:
        errors = [record.getMessage().strip() for record in self._records if record.levelno >= logging.ERROR]
        if self._cause is None or isinstance(self._cause, SystemExit):
            return f"the server did not start: {errors[0].splitlines()[-1] if errors else 'uvicorn gave no reason'}"
        cause = f"{type(self._cause).__name__}: {self._cause}"
        if self._lifespan_failed:
            return f"the app's lifespan failed with {cause}; fix it, then serve again"
        return f"the server did not start: {cause}; check the options that serve() passes on to uvicorn.Config"


def serve(app: Any, *, port: int = 0, **options: Any) -> BackgroundServer:
    """Serve an ASGI app on 127.0.0.1 from a background thread, and return when it accepts.

    `port` 0 takes a free one. Further options go to `uvicorn.Config` (``ws_max_size=…``,
    ``ssl_certfile=…``). When a notebook's cell is run again, the servers that its last run
    started are stopped first. The server runs until `stop`, the end of its ``with`` block or
    the end of the process.

    Raises:
        StartError: `app` is not an ASGI app, the port is taken, or the lifespan failed or took more than 4 s.
    """
    app = asgi_app(app)  # before the old server is stopped, so that a mistake in the new app doesn't end it
    stop_earlier_run()
    server = BackgroundServer(app, port=port, **options)
    server.start()
    return server


def running() -> tuple[BackgroundServer, ...]:
    """Return the background servers of this process that have not been stopped, oldest first."""
    return entered(BackgroundServer)


def _blocked_at(thread: threading.Thread) -> str:
    """Return which line of the app the thread is executing; empty if its loop is waiting for events."""
    frame = sys._current_frames().get(thread.ident or 0)
    if frame is None:
        return ""
    last = traceback.extract_stack(frame)[-1]
    if last.filename == __file__ or "asyncio" in last.filename or last.filename.endswith("selectors.py"):
        return ""
    return f"{last.name}(), line {last.lineno} of {last.filename!r}"


def _rooted(path: str) -> str:
    return path if path.startswith("/") else f"/{path}"


def _close_task(task: asyncio.Task[Any]) -> None:
    """Close a task that ignores its cancellation; otherwise the garbage collector closes it, in any thread."""
    if not task.done():
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # as asyncio's own gather() does
        coroutine: Any = task.get_coro()  # from Python 3.12 on it is None, but only for a task that is done
        with suppress(RuntimeError):  # it ignores even this
            coroutine.close()
