"""The route of the AsyncAPI document, ``GET /asyncapi.json``; the page that shows it is a static file."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

__all__ = ["ABOUT", "documentation_routes"]

ABOUT = "The messages of the WebSocket are at `/docs/messages/`, and as AsyncAPI 3 at `/asyncapi.json`."


def documentation_routes() -> APIRouter:
    """Return the route ``GET /asyncapi.json``; its page is at ``/docs/messages/``."""
    router = APIRouter(tags=["documentation"])

    @router.get("/asyncapi.json", summary="The messages of /ws, as AsyncAPI 3", response_class=JSONResponse)
    def asyncapi(
        request: Request,
    ) -> JSONResponse:  # not async: it is slow, and so runs in a thread
        from .asyncapi import describe  # noqa: PLC0415  # imported only if somebody asks

        url = request.url
        protocol = "wss" if url.scheme == "https" else "ws"
        return JSONResponse(describe(url.netloc, protocol=protocol, pathname=request.scope.get("root_path", "")))

    return router
