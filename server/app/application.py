"""The app: creates every part and connects them; ``serve(create_app(settings))``."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.responses import Response
from starlette.routing import WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from ..access.auth import Authenticator
from ..access.http_errors import invalid_request
from ..broker import Broker, open_broker
from ..broker.feeds import Feeds
from ..handshake import parse_origin
from ..manager import Manager
from ..notifications import Notifications
from ..settings import Settings
from .answers.model import Model
from .answers.service import AnswersService
from .chat import Chat, allow_all
from .chat_requests import MayJoin, room_topic
from .docs.routes import ABOUT, documentation_routes
from .health import health_routes
from .metrics import Metrics
from .middleware import StartFailure
from .presence import PresenceTracker
from .routes import InboxRoutes

if TYPE_CHECKING:
    from .classroom import Classroom

__all__ = ["create_app"]

STATIC = Path(__file__).parent / "static"


def create_app(
    settings: Settings | None = None,
    *,
    may_join: MayJoin = allow_all,
    broker: Broker | None = None,
    inboxes: Broker | None = None,
    model: Model | None = None,
) -> FastAPI:
    """Return an app with the chat at ``/ws``, its page at ``/``, tickets at ``POST /ticket`` and ``/notifications``.

    Serve it with ``**settings.uvicorn_options``, so that a message that is too big is never held in memory. To mount
    it in another app, give that one its lifespan: ``FastAPI(lifespan=app.router.lifespan_context)``. Other routes can
    use ``app.state.manager``, and notify a user with ``app.state.notifications``.

    Args:
        settings: by default read from the environment.
        may_join: decides which user may join which room, as a function or a coroutine function; a user who may not
            gets an `Error`.
        broker: stores the chat messages; by default the one that `settings` name. Opened and closed with the app.
        inboxes: stores the notifications, likewise. There are two, because their limits differ.
        model: answers at ``/answers``, see `server.app.answers.model.Model`; by default a fake one, and only with
            `settings.bot` or the demo login.

    Raises:
        StartError: no key is set, and the demo login is off.
        ValueError: an entry of `settings.origins` is not an origin.
    """
    settings = settings or Settings()
    broker = broker or open_broker(settings.broker, limits=settings.broker_limits)
    presence = PresenceTracker(broker, room_topic)
    manager = Manager(
        connections=settings.connections,
        devices_per_user=settings.devices_per_user,
        connections_per_user=settings.connections_per_user,
        grace=settings.grace_seconds,
        on_change=presence.report,
    )
    authenticator = Authenticator(settings)
    notifications = Notifications(inboxes or open_broker(settings.inbox_url, limits=settings.inbox_limits))
    inbox_routes = InboxRoutes(settings, authenticator=authenticator, notifications=notifications)
    waiting = inbox_routes.waiting
    service = None
    if model is not None or settings.has_bot:
        service = AnswersService(settings, authenticator=authenticator, manager=manager, waiting=waiting, model=model)
    brokers = [broker, notifications.broker, *([service.broker] if service else [])]
    metrics = Metrics(manager, *brokers, waiting=waiting, answers=service.answers if service else None)
    feeds = Feeds(broker, observe=metrics.latency.observe)
    classroom = _classroom(settings, authenticator, manager) if settings.classroom else None
    chat = Chat(
        settings,
        authenticator=authenticator,
        manager=manager,
        broker=broker,
        feeds=feeds,
        presence=presence,
        notifications=notifications,
        may_join=may_join,
        observer=classroom.roster if classroom else None,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, int]]:
        async with (
            broker,
            feeds.open(),
            presence.open(manager),
            notifications.open(),
            service.open() if service else nullcontext(),
            inbox_routes.open(),
        ):
            yield {"message_frames": settings.message_frames}  # for `LimitedProtocol`
            chat.close()
            authenticator.close()
            if classroom is not None:
                classroom.close()

    # FastAPI's own documentation pages load scripts from another site
    app = FastAPI(title="Chat", description=ABOUT, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.add_exception_handler(RequestValidationError, invalid_request)
    app.state.manager = manager
    app.state.notifications = notifications
    app.state.waiting = waiting
    app.add_middleware(StartFailure)
    app.include_router(authenticator.routes)
    app.include_router(inbox_routes.routes)
    app.include_router(health_routes(*brokers))
    app.include_router(documentation_routes())
    if settings.metrics:
        app.include_router(metrics.routes)
    # FastAPI's own route would keep 5 KiB for each connection, for dependencies, and this endpoint has none
    app.router.routes.append(WebSocketRoute("/ws", chat))
    if service is not None:
        app.state.answers = service.answers
        app.include_router(service.routes)
    app.state.classroom = classroom
    if classroom is not None:
        app.include_router(classroom.routes)
    app.mount("/", _Page(settings))
    return app


def _classroom(settings: Settings, authenticator: Authenticator, manager: Manager) -> Classroom:
    from .classroom import Classroom  # noqa: PLC0415  # not needed without a classroom

    return Classroom(settings, authenticator=authenticator, manager=manager)


def _ascii_origin(origin: str) -> str:
    """Return an origin in ASCII, as a header needs it."""
    if origin.isascii():
        return origin
    scheme, host, port = parse_origin(origin)
    return f"{scheme}://{host}" if port is None else f"{scheme}://{host}:{port}"


class _Page(StaticFiles):
    """The files of the page, with headers that block scripts and frames of other sites."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(directory=STATIC, html=True)
        self._has_teacher = settings.classroom
        frames = " ".join(("'self'", *map(_ascii_origin, settings.origins)))
        self._headers = {
            "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
            f"img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors {frames}",
            "Cache-Control": "no-cache",  # the browser asks each time, and gets the file only if it has changed
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
