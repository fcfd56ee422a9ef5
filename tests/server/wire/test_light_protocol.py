"""An idle connection keeps little: what waits costs something only while it waits, and the handshake is released."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI, WebSocket
from websockets.http11 import Request
from websockets.sync.client import connect

from server import serve
from server.wire.light_protocol import ReceiveQueue, WritableEvent
from server.wire.protocol import EXTENSION, FanoutProtocol
from tests.server.people import DEADLINE
from tests.server.shop import until


async def started(*coroutines: Any) -> list[asyncio.Task[Any]]:
    """Return a task for each coroutine, once all of them wait."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    await asyncio.sleep(0)
    return tasks


def test_each_event_goes_to_one_receiver() -> None:
    """Two tasks that receive at the same time get two events, in order, and the queue is empty again."""
    events = ReceiveQueue()

    async def wait() -> None:
        tasks = await started(events.get(), events.get())
        events.put_nowait(1)
        events.put_nowait(2)
        async with asyncio.timeout(DEADLINE):
            assert await asyncio.gather(*tasks) == [1, 2]
        assert events.empty()

    asyncio.run(wait())


def test_a_receiver_that_is_cancelled_takes_nothing() -> None:
    """The event goes to the other receiver, and of a hundred that gave up nothing is kept."""
    events = ReceiveQueue()

    async def wait() -> None:
        for _ in range(100):
            [late] = await started(events.get())
            late.cancel()
            await asyncio.wait([late])
        [other] = await started(events.get())
        assert len(events._waiters) == 1
        events.put_nowait("event")
        async with asyncio.timeout(DEADLINE):
            assert await other == "event"

    asyncio.run(wait())


def test_all_senders_go_on_when_the_transport_is_writable() -> None:
    """Also those that wait while it is cleared at once, as `asyncio.Event` has it; a cancelled one does not matter."""

    async def wait() -> None:
        writable = WritableEvent()
        await writable.wait()
        writable.clear()
        first, cancelled, second = await started(writable.wait(), writable.wait(), writable.wait())
        cancelled.cancel()
        writable.set()
        writable.clear()
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(first, second)
        assert not writable.is_set()

    asyncio.run(wait())


def test_an_accepted_connection_keeps_nothing_of_its_handshake() -> None:
    """The headers are in the scope; the copies of the parser, and the offer of compression, are released."""
    app = FastAPI()
    kept: list[tuple[FanoutProtocol, Request]] = []

    @app.websocket("/ws")
    async def handler(websocket: WebSocket) -> None:
        protocol = websocket.scope["extensions"][EXTENSION]["connection"]
        kept.append((protocol, protocol.request))
        await websocket.accept()
        await websocket.send_text(websocket.headers["host"])
        await websocket.receive_text()

    with serve(app, ws=FanoutProtocol) as server, connect(server.url("/ws"), proxy=None) as client:
        assert client.recv(DEADLINE) == f"127.0.0.1:{server.port}"
        until(lambda: bool(kept))
        [(protocol, request)] = kept
        assert not hasattr(request, "headers")
        assert protocol.conn.available_extensions is None
        client.send("bye")
