"""The progress that students choose to share with the teacher; kept in memory only."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict

from ...access.auth import Authenticator
from ...access.http_errors import enforce_rate_limit
from ...access.rate_limits import RateLimiter
from ...settings import Settings
from .messages import Lessons

__all__ = ["MOST_USERS", "Progress", "Report"]

MOST_USERS = 1_000  # whose report is kept; the user who has reported nothing for longest is dropped first


class Report(BaseModel):
    """What one student has done so far; replaces the last report."""

    model_config = ConfigDict(extra="forbid", strict=True)

    lessons: Lessons
    """Lesson, check, whether it passes: ``{"01-handshake": {"check_accept_key": true}}``."""


class Progress:
    """The last report of each user."""

    def __init__(self, settings: Settings, authenticator: Authenticator) -> None:
        """Use the limits in `settings`."""
        self._authenticator = authenticator
        self._size = settings.message_bytes
        self._limiter = RateLimiter(rate=settings.messages_per_second, burst=settings.message_burst)
        self._reports: dict[str, Lessons] = {}  # the user who reported last is last

    def of(self, user: str) -> Lessons | None:
        """Return what this user has reported, or None."""
        return self._reports.get(user)

    def clear(self) -> None:
        """Forget everything; for a server that stops, and may start again."""
        self._reports.clear()
        self._limiter.clear()

    @property
    def routes(self) -> APIRouter:
        """``POST /classroom/progress``."""
        router = APIRouter(tags=["class"])
        options: dict[str, Any] = {"status_code": 204, "max_body_size": self._size}
        router.post("/classroom/progress", dependencies=[Depends(self._admit)], **options)(self.report)
        return router

    async def report(self, request: Request, report: Report) -> None:
        """Show the teacher what you have done; replaces your last report."""
        self._keep(request.state.session.user, report.lessons)

    def _keep(self, user: str, lessons: Lessons) -> None:
        self._reports.pop(user, None)
        self._reports[user] = lessons
        if len(self._reports) > MOST_USERS:
            del self._reports[next(iter(self._reports))]

    async def _admit(self, request: Request) -> None:
        request.state.session = self._authenticator.authenticate_request(request)
        await enforce_rate_limit(self._limiter, request.state.session.user)
