"""``GET /asyncapi.json``: what goes over the wire; a page that shows it is among the static files."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

__all__ = ["ABOUT", "documentation_routes"]

ABOUT = "What goes over the WebSocket is at `/docs/messages/`, and as AsyncAPI 3 at `/asyncapi.json`."


def documentation_routes() -> APIRouter:
    """``GET /asyncapi.json``; its page is at ``/docs/messages/``."""
    router = APIRouter(tags=["documentation"])

    @router.get("/asyncapi.json", summary="The messages of /ws, as AsyncAPI 3", response_class=JSONResponse)
    def asyncapi(request: Request) -> JSONResponse:  # in a thread, for it takes a moment the first time
        from .asyncapi import describe  # noqa: PLC0415  # a server that is never asked starts without it

        url = request.url
        protocol = "wss" if url.scheme == "https" else "ws"
        return JSONResponse(describe(url.netloc, protocol=protocol, pathname=request.scope.get("root_path", "")))

    return router
