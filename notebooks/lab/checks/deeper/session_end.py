"""The check of the exercise in deeper/sessions: a connection ends with its session."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect
from starlette.types import Message

from ..harness.clock import without_waiting
from ..harness.unawaited import unawaited
from ..verdict import NotYet, judged, reason_of, refuse_stub, result_of, shown

__all__ = ["check_session_end"]

Answer = Any  # whatever the reader has written
Event = tuple[float, str | int]
"""When, in seconds, the client got which text or which close code; 0 is that it was let in."""

ACCEPTED = 0
EXPIRED = 4001
LASTS = 10.0  # seconds until the session has ended
LONGEST = 100.0  # seconds after which a handler counts as one that never ends


class Client:
    """A client by a timetable, for a real `WebSocket`: what it says when, and when it leaves."""

    def __init__(self, says: tuple[float, ...], leaves: float | None) -> None:
        self.says = [(when, {"type": "websocket.receive", "text": f"at {when:g} s"}) for when in says]
        self.leaves = leaves
        self.got: list[Event] = []
        self._connected = False

    async def receive(self) -> Message:
        """Return the next event at its time; wait for ever when there is none."""
        if not self._connected:
            self._connected = True
            return {"type": "websocket.connect"}
        if self.says and (self.leaves is None or self.says[0][0] < self.leaves):
            await _sleep_until(self.says[0][0])
            return self.says.pop(0)[1]
        if self.leaves is not None:
            await _sleep_until(self.leaves)
            return {"type": "websocket.disconnect", "code": 1001}
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    async def send(self, message: Message) -> None:
        """Note what arrives, and when."""
        now = round(asyncio.get_running_loop().time(), 3)
        if self.leaves is not None and now >= self.leaves:
            raise OSError("the client has left")  # which Starlette turns into WebSocketDisconnect
        what: dict[str, int] = {"websocket.accept": ACCEPTED, "websocket.close": message.get("code", 1000)}
        self.got.append((now, what.get(message["type"], str(message.get("text", "")))))


async def _sleep_until(when: float) -> None:
    await asyncio.sleep(when - asyncio.get_running_loop().time())


@judged("the connection ends with its session, however much is said, and a client may leave earlier")
def check_session_end(until_expired: Answer) -> None:
    """Check ``until_expired(websocket, seconds)``: it echoes until the session ends, and then closes with 4001.

    The clock of this check jumps to the next timer, so it doesn't wait.
    """
    refuse_stub(until_expired)
    if forgotten := unawaited(until_expired):
        raise NotYet(f"`{forgotten}` has no `await` in front of it, so it never runs; write `await {forgotten}`")
    if not inspect.iscoroutinefunction(until_expired):
        raise NotYet("until_expired is a plain function; write `async def until_expired`")
    quiet, _ = _play(until_expired, Client((), None))
    _expect(quiet, [(0, ACCEPTED), (LASTS, EXPIRED)], f"a session lasts {LASTS:g} s, and its client is quiet")
    spoken = (3.0, 6.0, 9.0)
    echoes: list[Event] = [(when, f"at {when:g} s") for when in spoken]
    chatty, _ = _play(until_expired, Client((*spoken, 12.0, 15.0), None))
    says = f"a session lasts {LASTS:g} s, and its client speaks every three seconds"
    _expect(chatty, [(0, ACCEPTED), *echoes, (LASTS, EXPIRED)], says)
    early, ended = _play(until_expired, Client((3.0,), 4.0))
    _expect(early, [(0, ACCEPTED), (3.0, "at 3 s")], "a client leaves after 4 s")
    if ended > 4:
        raise NotYet(f"a client left after 4 s, and until_expired ran until {ended:g} s; it must end with its client")


def _play(until_expired: Answer, client: Client) -> tuple[list[Event], float]:
    """Return what the client got, and when the handler ended."""

    async def main() -> float:
        websocket = WebSocket({"type": "websocket", "path": "/ws", "headers": []}, client.receive, client.send)
        running = asyncio.ensure_future(until_expired(websocket, LASTS))
        await asyncio.wait([running], timeout=LONGEST)
        if not running.done():
            return LONGEST
        running.result()
        ended = asyncio.get_running_loop().time()
        await asyncio.sleep(0.001)  # a task that was cancelled and not awaited ends in this time
        if len(asyncio.all_tasks()) > 1:
            raise NotYet("until_expired has ended, and a task of it still runs; cancel and await it in a `finally`")
        await asyncio.sleep(LONGEST)  # what a forgotten timer does later counts, too
        return round(ended, 3)

    def play() -> Any:
        try:
            return without_waiting(main())
        except Exception as error:
            return error

    play.__name__ = "until_expired"
    ended = result_of(play)
    if isinstance(ended, NotYet):
        raise ended
    if isinstance(ended, WebSocketDisconnect):
        raise NotYet(
            "the client left, and until_expired raised WebSocketDisconnect; "
            "catch it, or read with `async for text in websocket.iter_text()`"
        )
    if isinstance(ended, Exception):
        refuse_stub(until_expired, ended)
        raise NotYet(f"until_expired raised {reason_of(ended, until_expired)}{_session_remedy(ended)}")
    return client.got, ended


def _session_remedy(error: Exception) -> str:
    return "; catch it, and close with 4001 there" if isinstance(error, TimeoutError) else ""


def _expect(got: list[Event], expected: list[Event], story: str) -> None:
    """Raise `NotYet` for the first difference."""
    for index, what in enumerate(expected):
        if index >= len(got):
            raise NotYet(f"{story}: nothing came, expected {_said(what)}; {_session_hint(None, what)}")
        if got[index] != what:
            raise NotYet(f"{story}: {_said(got[index])}, expected {_said(what)}; {_session_hint(got[index], what)}")
    if len(got) > len(expected):
        raise NotYet(f"{story}: {_said(got[len(expected)])} came as well; send nothing more when the connection ends")


def _said(event: Event) -> str:
    when, what = event
    if what == ACCEPTED:
        return "the connection was accepted"
    return f"at {when:g} s {f'the close code {what}' if isinstance(what, int) else shown(what)}"


def _session_hint(got: Event | None, expected: Event) -> str:
    if expected[1] == ACCEPTED:
        return "call `await websocket.accept()` first"
    if isinstance(expected[1], str):
        return "answer each text with the same text, at once"
    if got is None or got[0] > expected[0]:
        return "one deadline for the whole conversation, and not a new one for each message"
    if got[0] < expected[0]:
        return "the session hasn't ended yet"
    return 'write `close(4001, "…")`'
