"""The parts wired together: who are you, the chat, and its page; ``serve(create_app(settings))``."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.responses import Response
from starlette.routing import WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from .bounds import invalid
from .broker import Broker, open_broker
from .chat import Chat, MayJoin, everybody, topic_of
from .documentation import ABOUT, documentation_routes
from .feed import Feeds
from .health import health_routes
from .identity import Door
from .inbox_routes import InboxRoutes
from .limits import NoLingering
from .manager import Manager
from .metrics import Metrics
from .notifications import Notifications
from .rollcall import Rollcall
from .settings import Settings

if TYPE_CHECKING:
    from .classroom import Classroom

__all__ = ["create_app"]

STATIC = Path(__file__).parent / "static"


def create_app(
    settings: Settings | None = None,
    *,
    may_join: MayJoin = everybody,
    broker: Broker | None = None,
    inboxes: Broker | None = None,
) -> FastAPI:
    """An app with the chat at ``/ws``, its page at ``/``, tickets at ``POST /ticket`` and ``/notifications``.

    Settings that are not given are read from the environment. `may_join` decides, with or without
    ``await``, which user may join which room; who may not gets an `Error`. The app's one `Manager` is
    ``app.state.manager``, and any other route can notify a user with ``app.state.notifications``. `broker` keeps what
    is said and `inboxes` what users are notified of, by default what `settings` name; they are two, because their
    limits differ, and are opened and closed with the app. To mount the app in another, give that one
    its lifespan: ``FastAPI(lifespan=app.router.lifespan_context)``. Serve the app with
    ``**settings.uvicorn_options``, so that a message that is too big is never held in memory.

    Raises:
        StartError: no key is set and the demo login was not asked for.
        ValueError: one of the origins is none.
    """
    settings = settings or Settings()
    broker = broker or open_broker(settings.broker, limits=settings.broker_limits)
    rollcall = Rollcall(broker, topic_of)
    manager = Manager(
        connections=settings.connections,
        devices_per_user=settings.devices_per_user,
        connections_per_user=settings.connections_per_user,
        grace=settings.grace_seconds,
        on_change=rollcall.note,
    )
    door = Door(settings)
    notifications = Notifications(inboxes or open_broker(settings.inbox_url, limits=settings.inbox_limits))
    inbox_routes = InboxRoutes(settings, door=door, notifications=notifications)
    metrics = Metrics(manager, broker, notifications.broker, waiting=inbox_routes.waiting)
    feeds = Feeds(broker, observe=metrics.latency.observe)
    classroom = _classroom(settings, door, manager) if settings.classroom else None
    chat = Chat(
        settings,
        door=door,
        manager=manager,
        broker=broker,
        feeds=feeds,
        rollcall=rollcall,
        notifications=notifications,
        may_join=may_join,
        attendance=classroom.roll if classroom else None,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with broker, feeds.open(), rollcall.open(manager), notifications.open(), inbox_routes.open():
            yield
            chat.close()
            door.close()
            if classroom is not None:
                classroom.close()

    # FastAPI's own pages for it would run scripts of somebody else's
    app = FastAPI(title="Chat", description=ABOUT, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.add_exception_handler(RequestValidationError, invalid)
    app.state.manager = manager
    app.state.notifications = notifications
    app.state.waiting = inbox_routes.waiting
    app.add_middleware(NoLingering, seconds=settings.send_seconds)
    app.include_router(door.routes)
    app.include_router(inbox_routes.routes)
    app.include_router(health_routes(broker, notifications.broker))
    app.include_router(documentation_routes())
    if settings.metrics:
        app.include_router(metrics.routes)
    # FastAPI's own route would keep 5 KiB for each connection, for dependencies that this endpoint has none of
    app.router.routes.append(WebSocketRoute("/ws", chat.connect))
    app.state.classroom = classroom
    if classroom is not None:
        app.include_router(classroom.routes)
    app.mount("/", _Page(settings))
    return app


def _classroom(settings: Settings, door: Door, manager: Manager) -> Classroom:
    from .classroom import Classroom  # noqa: PLC0415  # a server without a teacher starts without it

    return Classroom(settings, door=door, manager=manager)


class _Page(StaticFiles):
    """The files of the page, with the headers that keep other people's scripts and frames out."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(directory=STATIC, html=True)
        self._has_teacher = settings.classroom
        frames = " ".join(("'self'", *settings.origins))
        self._headers = {
            "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
            f"img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors {frames}",
            "Cache-Control": "no-cache",  # asked for again each time, sent again only when changed
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        if path.startswith("teacher") and not self._has_teacher:
            return "", None
        return super().lookup_path("teacher.html" if path == "teacher" else path)

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(self._headers)
        return response
