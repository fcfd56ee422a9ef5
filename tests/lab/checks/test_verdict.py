"""A verdict is one sentence that helps, within 2 s, for any code of the reader."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException, WebSocket, WebSocketDisconnect
from lab.checks.harness.time_budget import time_budget
from lab.checks.harness.trial import Trial
from lab.checks.verdict import NotYet, Verdict, judged, result_of, shown

from server.run.background import running


@judged("every message comes back in capitals")
def check_shout(shout: Any) -> None:
    """An exercise as a lesson has it: a handler."""
    with Trial(shout) as trial, trial.connect() as client:
        client.send("hi")
        client.expect("HI")
        client.leave()
        trial.wait_ended()


@judged("the number is doubled")
def check_double(double: Any) -> None:
    """An exercise as a lesson has it: a plain function."""
    got = result_of(double, 21)
    if got != 42:
        raise NotYet(f"double(21) returned {shown(got, kind=True)}, expected 42")


@judged("the client sees 401")
def check_refusal(handler: Any) -> None:
    """An exercise as a lesson has it: a refusal."""
    with Trial(handler) as trial:
        answer = trial.refusal()
    if answer.status != 401:
        raise NotYet(f"refused with HTTP {answer.status}, expected 401")


# answers to the handler's exercise


async def _empty(websocket: WebSocket) -> None:
    """Say it loudly."""


async def _stub(websocket: WebSocket) -> None:
    await websocket.accept()
    raise NotImplementedError


async def _good(websocket: WebSocket) -> None:
    await websocket.accept()
    async for message in websocket.iter_text():
        await websocket.send_text(message.upper())


async def _echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for message in websocket.iter_text():
        await websocket.send_text(message)


async def _binary(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_bytes((await websocket.receive_text()).upper().encode())


async def _typo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text((await websocket.receive_text()).uper())  # type: ignore[attr-defined]


async def _no_await(websocket: WebSocket) -> None:
    await websocket.accept()
    message: Any = websocket.receive_text()
    try:
        await websocket.send_text(message.upper())
    finally:
        message.close()


async def _group(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.receive_text()
    raise ExceptionGroup("unhandled errors in a TaskGroup", [ValueError("boom")])


async def _no_accept(websocket: WebSocket) -> None:
    await asyncio.sleep(0)


async def _closes(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.receive_text()
    await websocket.close(4001, "no")


async def _returns(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.receive_text()


async def _waits(websocket: WebSocket) -> None:
    await websocket.accept()
    await asyncio.Event().wait()


async def _never_answers(websocket: WebSocket) -> None:
    await asyncio.Event().wait()


async def _spins(websocket: WebSocket) -> None:
    await websocket.accept()
    while True:
        pass


async def _blocks(websocket: WebSocket) -> None:
    await websocket.accept()
    time.sleep(2.5)  # noqa: ASYNC251 - the mistake that the verdict must name


async def _floods(websocket: WebSocket) -> None:
    await websocket.accept()
    while True:
        await websocket.send_text("x")


async def _leaks(websocket: WebSocket) -> None:
    async def writer() -> None:
        await asyncio.Event().wait()

    await websocket.accept()
    task = asyncio.create_task(writer())
    async for message in websocket.iter_text():
        await websocket.send_text(message.upper())
    assert not task.done()


async def _deaf(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text((await websocket.receive_text()).upper())
    await asyncio.Event().wait()


def _plain(websocket: WebSocket) -> None:
    assert websocket


async def _unannotated(websocket) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001,RUF100
    await websocket.accept()


BLOCKS = "blocks the server's loop; it must await, so no time.sleep and no endless loop"
CLOSED = "sent 'hi', expected 'HI', but the connection was closed: "

HANDLERS: list[tuple[Any, str]] = [
    (_good, "passed: every message comes back in capitals"),
    (None, "not yet: expected a function, got None; run the cell that defines it first"),
    ("shout", "not yet: expected a function, got 'shout'; run the cell that defines it first"),
    (_empty, "not yet: _empty is still the stub; replace its raise line with your code"),
    (_stub, "not yet: _stub is still the stub; replace its raise line with your code"),
    (_echo, "not yet: sent 'hi', got 'hi', expected 'HI'"),
    (_binary, "not yet: sent 'hi', got b'HI' (bytes), expected 'HI' (str)"),
    (
        _typo,
        (
            f"not yet: {CLOSED}_typo raised AttributeError: 'str' object has no attribute 'uper' in the line "
            "`await websocket.send_text((await websocket.receive_text()).uper())  # type: ignore[attr-defined]`"
        ),
    ),
    (
        _no_await,
        (
            f"not yet: {CLOSED}_no_await raised AttributeError: 'coroutine' object has no attribute 'upper' "
            "in the line `await websocket.send_text(message.upper())`; is an `await` missing?"
        ),
    ),
    (
        _group,
        f"not yet: {CLOSED}_group raised ValueError: boom",
    ),
    (
        _no_accept,
        "not yet: the handshake was refused with HTTP 500: _no_accept never called `await websocket.accept()`",
    ),
    (_closes, f"not yet: {CLOSED}code 4001 (no)"),
    (_returns, f"not yet: {CLOSED}code 1006"),
    (_waits, "not yet: sent 'hi', got nothing, expected 'HI'"),
    (
        _never_answers,
        (
            "not yet: the client could not connect: TimeoutError: timed out while waiting for handshake response; "
            "call `await websocket.accept()` first"
        ),
    ),
    (_spins, f"not yet: _spins {BLOCKS}"),
    (_blocks, f"not yet: _blocks {BLOCKS}"),
    (_leaks, "not yet: the client left, but the task writer still runs; cancel and await it in a `finally`"),
    (
        _deaf,
        (
            "not yet: the client left, but _deaf still runs; "
            "keep a receiver waiting, and let the handler end when the receiver does"
        ),
    ),
    (_plain, "not yet: _plain is a plain function; write `async def _plain`"),
    (
        _unannotated,
        "not yet: _unannotated has no WebSocket to talk through; write `async def _unannotated(websocket: WebSocket)`",
    ),
]


@pytest.mark.parametrize(("handler", "line"), HANDLERS, ids=[str(getattr(h, "__name__", h)) for h, _ in HANDLERS])
def test_verdict_on_a_handler_is_one_sentence_that_helps(handler: Any, line: str) -> None:
    """What was sent, what came and what was expected, or the reader's own error and its line."""
    assert str(check_shout(handler)) == line
    assert not running() or handler is _blocks


def test_verdict_on_a_handler_that_floods_comes() -> None:
    """A handler that never stops sending is judged by its first message, or by its blocked loop."""
    assert str(check_shout(_floods)) in {"not yet: sent 'hi', got 'x', expected 'HI'", f"not yet: _floods {BLOCKS}"}


@pytest.mark.anyio
async def test_verdict_works_while_a_loop_runs_in_this_thread() -> None:
    """A check is called from a cell, and a cell runs inside the kernel's event loop."""
    assert check_shout(_good)


def test_verdict_on_an_app_is_the_same_as_on_its_handler() -> None:
    """A whole FastAPI app is served as it is."""
    app = FastAPI()
    app.websocket("/ws")(_good)
    assert check_shout(app)


def _returns_none(_: int) -> None:
    return None


def _hangs(_: int) -> None:
    while True:
        pass


async def _asynchronous(_: int) -> int:
    return 42


def _not_a_number(number: Any) -> Any:
    return number.double()


FUNCTIONS: list[tuple[Any, str]] = [
    (lambda n: 2 * n, "passed: the number is doubled"),
    (lambda n: str(2 * n), "not yet: double(21) returned '42' (str), expected 42"),
    (_returns_none, "not yet: _returns_none is still the stub; replace its raise line with your code"),
    (lambda n: print(end="") if n else 0, "not yet: double(21) returned None, expected 42"),
    (_hangs, "not yet: _hangs(21) did not return within 1 s; does a loop in it never end?"),
    (_asynchronous, "not yet: _asynchronous(21) returned a coroutine; write it with `def` instead of `async def`"),
    (
        _not_a_number,
        (
            "not yet: _not_a_number(21) raised AttributeError: 'int' object has no attribute 'double' "
            "in the line `return number.double()`"
        ),
    ),
]


@pytest.mark.parametrize(("function", "line"), FUNCTIONS)
def test_verdict_on_a_function_is_one_sentence_that_helps(function: Callable[[int], Any], line: str) -> None:
    """A wrong value, none, an exception, a hang and a coroutine are each named."""
    assert str(check_double(function)) == line


def test_verdict_ends_the_thread_of_an_endless_function() -> None:
    """An endless loop of the reader does not go on behind the notebook's back."""
    assert not check_double(_hangs)
    for thread in threading.enumerate():
        if thread.name == "verdict":
            thread.join(30)
            assert not thread.is_alive()


async def _denies(websocket: WebSocket) -> None:
    raise HTTPException(401, "who are you?")


async def _closes_first(websocket: WebSocket) -> None:
    await websocket.close(4001)


async def _fails(websocket: WebSocket) -> None:
    raise KeyError("token")


@pytest.mark.parametrize(
    ("handler", "line"),
    [
        (_denies, "passed: the client sees 401"),
        (_closes_first, "not yet: refused with HTTP 403, expected 401"),
        (_good, "not yet: the handshake was accepted (101), expected a refusal"),
        (
            _fails,
            (
                "not yet: the handshake failed with HTTP 500: _fails raised KeyError: 'token' "
                'in the line `raise KeyError("token")`'
            ),
        ),
    ],
)
def test_verdict_on_a_refusal_names_the_http_status(handler: Any, line: str) -> None:
    """The verdict says what the client saw of the refusal."""
    assert str(check_refusal(handler)) == line


def test_trial_reads_json_and_close_codes() -> None:
    """A client of a trial compares JSON by value and says how the connection ended."""

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            await websocket.send_json({"sum": sum(await websocket.receive_json())})
            await websocket.send_text("no json")
            await websocket.receive_text()
        except WebSocketDisconnect:
            return
        await websocket.close(4002, "enough")

    with time_budget(), Trial(handler) as trial, trial.connect() as client:
        client.send_json([1, 2])
        client.expect_json({"sum": 3})
        with pytest.raises(NotYet, match=r"sent '\[1, 2\]', got 'no json', which is not JSON, expected 5"):
            client.expect_json(5)
        client.send("bye")
        assert client.closed() == (4002, "enough")


def test_verdict_on_a_check_that_fails_itself_is_a_sentence_too() -> None:
    """Even an answer that breaks the check ends in a verdict, not in a traceback."""

    @judged("fine")
    def check(value: Any) -> None:
        assert value["missing"]

    assert str(check({})) == "not yet: the answer could not be judged, the check met KeyError: 'missing'"


def test_verdict_shows_long_values_cut() -> None:
    """A verdict stays one sentence when the reader's value is long."""
    assert len(shown("x" * 1000)) <= 70
    for start in range(5):
        cut = shown("x" * start + "e\u0301" * 100 + "y" * start)
        assert "e…" not in cut
        assert "…\u0301" not in cut
    assert shown(None, kind=True) == "None"


def test_verdict_is_true_when_passed() -> None:
    """An instructor can assert a check."""
    assert Verdict(True, "fine")
    assert not Verdict(False, "no")
    assert repr(Verdict(True, "fine")) == "passed: fine"
