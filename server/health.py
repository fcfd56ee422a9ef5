"""Whether this process lives, and whether it can do all of its work: ``/healthz`` and ``/healthz/ready``."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from .broker import Broker

__all__ = ["Report", "health_routes"]


class Report(BaseModel):
    """The state of one process."""

    status: Literal["ok", "degraded"]
    """``degraded``: clients stay connected, but what they say is refused until the log answers again."""
    reason: str = ""
    """Why it is degraded, for an operator."""


def health_routes(*brokers: Broker) -> APIRouter:
    """``GET /healthz`` is 200 while the process lives, degraded or not: to restart it would only lose its clients.

    ``GET /healthz/ready`` is 503 while it is degraded, so that a load balancer sends new clients elsewhere.
    """
    router = APIRouter(tags=["operation"], prefix="/healthz")

    def report() -> Report:
        reasons = [health.reason for broker in brokers if not (health := broker.health()).ready]
        return Report(status="degraded" if reasons else "ok", reason="; ".join(dict.fromkeys(reasons)))

    @router.get("", summary="Does it live?")
    async def live() -> Report:
        return report()

    @router.get("/ready", summary="Should it get new clients?", responses={503: {"model": Report}})
    async def ready(response: Response) -> Report:
        found = report()
        if found.status != "ok":
            response.status_code = 503
        return found

    return router
