"""Everything of one app that serves answers: the WebSocket, the HTTP routes, and the broker that stores them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter
from starlette.routing import WebSocketRoute

from ...access.auth import Authenticator
from ...broker import Broker, open_broker
from ...manager import Manager
from ...settings import Settings
from ..long_poll import WaitingRequests
from .answers import Answers
from .endpoint import AnswersEndpoint
from .model import FakeModel, Model
from .routes import AnswerRoutes

__all__ = ["AnswersService"]


class AnswersService:
    """Serves the answers of a model at ``/answers``; it works inside ``async with open()``."""

    def __init__(
        self,
        settings: Settings,
        *,
        authenticator: Authenticator,
        manager: Manager,
        waiting: WaitingRequests,
        model: Model | None = None,
    ) -> None:
        """Store the answers next to the messages; without a model, a fake one answers."""
        broker = open_broker(settings.answers_url, limits=settings.answer_limits)
        self.answers = Answers(settings, broker, model or FakeModel())
        self._endpoint = AnswersEndpoint(settings, authenticator=authenticator, manager=manager, answers=self.answers)
        self._routes = AnswerRoutes(settings, authenticator=authenticator, answers=self.answers, waiting=waiting)

    @property
    def broker(self) -> Broker:
        """Where the answers are stored."""
        return self.answers.broker

    @property
    def routes(self) -> APIRouter:
        """``/answers`` as a WebSocket, and ``/answers/{answer}`` over HTTP."""
        router = self._routes.routes
        router.routes.append(WebSocketRoute("/answers", self._endpoint.connect))
        return router

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Serve for the length of the block; at its end, interrupt what is being made and reset the rate limits.

        Raises:
            BrokerError: the broker can't be opened.
        """
        async with self.answers.open():
            yield
        self._endpoint.close()
        self._routes.close()
