"""The classroom of one app: creates its parts and connects them; only with `Settings.classroom`."""

from __future__ import annotations

import secrets

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from ...access.auth import Authenticator
from ...handshake import Handshake
from ...manager import Manager
from ...settings import Settings
from .join_link import QrCodes, join_address
from .messages import OutboxLimits
from .progress import Progress
from .roster import Roster
from .teacher import TeacherEndpoint

__all__ = ["Classroom"]


class Classroom:
    """Shows all connections of a chat to the teacher: to anyone who has the key."""

    def __init__(self, settings: Settings, *, authenticator: Authenticator, manager: Manager) -> None:
        """Make an empty class with a new key for its teacher."""
        self.key = secrets.token_urlsafe(16)
        """The teacher's secret."""
        self.join: str | None = None
        """The address that students open; None if it isn't known, and then the address of each request stands in."""
        self._progress = Progress(settings, authenticator)
        limits = OutboxLimits(messages=settings.outbox_messages, bytes=settings.outbox_bytes)
        self.roster = Roster(self._progress, limits)
        """The `ConnectionObserver` of the chat."""
        handshake = Handshake(origins=settings.origins, hosts=settings.hosts)
        self._qr_codes = QrCodes()
        self._teacher = TeacherEndpoint(self.roster, manager, key=self.key, handshake=handshake)

    @property
    def routes(self) -> APIRouter:
        """``/teacher/ws``, ``/join``, its QR code, and ``/classroom/progress``."""
        router = APIRouter(tags=["class"])
        router.get("/join", status_code=303, summary="Redirect to the chat page, from an address that is easy to say")(
            _join
        )
        router.get("/join.svg", summary="The address of /join as a QR code", response_class=Response)(
            self._join_qr_code
        )
        router.add_websocket_route("/teacher/ws", self._teacher.connect)
        router.include_router(self._progress.routes)
        return router

    def close(self) -> None:
        """Forget what students have shared; for a server that stops."""
        self._progress.clear()
        self._qr_codes.close()

    async def _join_qr_code(self, request: Request) -> Response:
        svg = await self._qr_codes.draw(join_address(request))
        return Response(svg, media_type="image/svg+xml", headers={"Cache-Control": "no-cache"})


async def _join() -> RedirectResponse:
    return RedirectResponse("./", 303)
