"""ASGI middleware: report a failed start in one line."""

from __future__ import annotations

import sys
from collections.abc import Awaitable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..broker import BrokerError

__all__ = ["StartFailure"]


class StartFailure:
    """Middleware that tells uvicorn in one line why a broker could not be opened.

    Starlette sends the whole traceback of its lifespan instead, which doesn't help an operator whose engine is down
    or whose path is wrong. Any other exception is a bug in this package and keeps its traceback.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve; a connection or request costs nothing but this call."""

        async def send_reason(message: Message) -> None:
            error = sys.exc_info()[1]  # Starlette sends the message from its `except`
            if message["type"] == "lifespan.startup.failed" and isinstance(error, BrokerError):
                where = "set by --broker or CHAT_BROKER, --inboxes or CHAT_INBOXES"
                message = {"type": "lifespan.startup.failed", "message": f"{error} ({where})"}
            await send(message)

        return self._app(scope, receive, send_reason if scope["type"] == "lifespan" else send)
