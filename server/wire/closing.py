"""A connection that never ends without a close frame, however its handler ends (lesson 02)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from fastapi import WebSocket, WebSocketDisconnect, WebSocketException
from starlette.websockets import WebSocketState

from ..messages.close_codes import CloseCode, cut_reason

__all__ = ["CLOSE_TIMEOUT", "Ended", "closing"]

CLOSE_TIMEOUT = 1.0  # seconds that a client has to take the close frame


@dataclass(slots=True)
class Ended:
    """How a connection ended, as the server saw it; filled in when the `closing` block ends."""

    code: int = CloseCode.NORMAL
    """The client's close code, or ours. If the connection was lost, 1005 or 1006, depending on the server software."""

    reason: str = ""
    """The text that came with the code, often empty."""


@asynccontextmanager
async def closing(websocket: WebSocket) -> AsyncIterator[Ended]:
    """Send a close frame when the block ends, if the connection was accepted; uvicorn sends none of its own.

    If the block returns, the code is 1000. If it raises `WebSocketException`, its code and reason are sent, and the
    exception ends here, because it is how a handler closes. If it raises anything else, the code is 1011, and the
    exception goes on to the server's log. If it is cancelled, the code is 1001. If it raises `WebSocketDisconnect`,
    the client has closed first: nothing is sent, and the exception ends here.

    A client that reads nothing gets up to one second to take the frame.
    """
    ended = Ended()
    try:
        yield ended
    except WebSocketDisconnect as disconnect:
        ended.code, ended.reason = disconnect.code, disconnect.reason
    except WebSocketException as close:
        if websocket.application_state is WebSocketState.CONNECTING:
            raise  # not accepted yet: FastAPI answers with HTTP 403
        ended.code, ended.reason = close.code, close.reason
    except asyncio.CancelledError:
        ended.code = CloseCode.GOING_AWAY
        raise
    except Exception:
        ended.code = CloseCode.INTERNAL_ERROR
        raise
    finally:
        await _close(websocket, ended.code, ended.reason)


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    if websocket.application_state is not WebSocketState.CONNECTED:
        return
    if websocket.client_state is not WebSocketState.CONNECTED:
        return
    if code in (CloseCode.NO_STATUS, CloseCode.ABNORMAL):  # a send has failed, and the client is still there
        code = CloseCode.INTERNAL_ERROR
    # the client may leave at any moment, and then every server raises an error of its own
    with suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await websocket.close(code, cut_reason(reason))
