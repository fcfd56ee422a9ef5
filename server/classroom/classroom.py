"""The class of one app, wired together; there is one only where `Settings.classroom` is set."""

from __future__ import annotations

import secrets

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from ..identity import Door
from ..manager import Manager
from ..settings import Settings
from .desk import Desk
from .messages import OutboxLimits
from .poster import join_address, picture
from .progress import Progress
from .roll import Roll

__all__ = ["Classroom"]


class Classroom:
    """Sees all connections of a chat, and shows them to whoever has the key."""

    def __init__(self, settings: Settings, *, door: Door, manager: Manager) -> None:
        """Make a class without students, and a new key for its teacher."""
        self.key = secrets.token_urlsafe(16)
        """What makes somebody the teacher."""
        self.join: str | None = None
        """The address that students open, where it is known; else it is that under which somebody asks for it."""
        self._progress = Progress(settings, door)
        limits = OutboxLimits(messages=settings.outbox_messages, bytes=settings.outbox_bytes)
        self.roll = Roll(self._progress, limits)
        """The `Attendance` of the chat."""
        self._desk = Desk(self.roll, manager, key=self.key, origins=settings.origins)

    @property
    def routes(self) -> APIRouter:
        """``/teacher/ws``, ``/join``, its QR code, and where students show what they have done."""
        router = APIRouter(tags=["class"])
        router.get("/join", status_code=303, summary="To the chat page, from an address that can be read out")(_join)
        router.get("/join.svg", summary="The address of /join as a QR code", response_class=Response)(_join_picture)
        router.add_websocket_route("/teacher/ws", self._desk.connect)
        router.include_router(self._progress.routes)
        return router

    def close(self) -> None:
        """Forget what has been shared; for a server that stops."""
        self._progress.clear()


async def _join() -> RedirectResponse:
    return RedirectResponse("./", 303)


async def _join_picture(request: Request) -> Response:
    return Response(picture(join_address(request)), media_type="image/svg+xml", headers={"Cache-Control": "no-cache"})
