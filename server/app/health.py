"""Health checks: ``/healthz`` (is the process alive?) and ``/healthz/ready`` (can it take new clients?)."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from ..broker import Broker

__all__ = ["Report", "health_routes"]


class Report(BaseModel):
    """The state of one process."""

    status: Literal["ok", "degraded"]
    """``degraded``: clients stay connected, but their messages are refused until the broker is available again."""
    reason: str = ""
    """Why it is degraded, for an operator."""


def health_routes(*brokers: Broker) -> APIRouter:
    """Return the routes of the health checks.

    ``GET /healthz`` answers 200 as long as the process runs, degraded or not: a restart would only lose its clients.
    ``GET /healthz/ready`` answers 503 while it is degraded, so that a load balancer sends new clients elsewhere.
    """
    router = APIRouter(tags=["operation"], prefix="/healthz")

    def report() -> Report:
        reasons = [health.reason for broker in brokers if not (health := broker.health()).ready]
        return Report(status="degraded" if reasons else "ok", reason="; ".join(dict.fromkeys(reasons)))

    @router.get("", summary="Is the process alive?")
    async def live() -> Report:
        return report()

    @router.get("/ready", summary="Should it get new clients?", responses={503: {"model": Report}})
    async def ready(response: Response) -> Report:
        found = report()
        if found.status != "ok":
            response.status_code = 503
        return found

    return router
