"""The verdicts of lesson 02: the stub, the solution, and the answers that people really give."""

from __future__ import annotations

import asyncio
import json
import operator
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any, Literal

import pytest
from fastapi import WebSocket, WebSocketDisconnect
from lab.checks import echo as given
from lab.checks.echo import check_calculator, check_countdown, check_shout
from pydantic import Field

from server.echo import Conversation, converse
from server.messages import Error, Message, parse
from tests.lab.checks.verdicts import verdict

Handler = Callable[..., Any]


# exercise 1


async def shout(websocket: WebSocket) -> None:
    """The solution of exercise 1."""
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text.upper())


def test_the_solution_of_exercise_1_passes() -> None:
    """The solution passes."""
    assert verdict(check_shout, shout) == "passed: every message comes back in capitals, until the client leaves"


async def never_accepts(websocket: WebSocket) -> None:
    """Forgets `accept`."""
    async for text in websocket.iter_text():
        await websocket.send_text(text.upper())


async def returns_without_accept(websocket: WebSocket) -> None:
    """Does nothing at all."""


async def echoes(websocket: WebSocket) -> None:
    """Forgets the capitals."""
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


async def answers_once(websocket: WebSocket) -> None:
    """Forgets the loop."""
    await websocket.accept()
    await websocket.send_text((await websocket.receive_text()).upper())


async def sends_bytes(websocket: WebSocket) -> None:
    """Answers with binary."""
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_bytes(text.upper().encode())


async def sends_json(websocket: WebSocket) -> None:
    """Answers with a JSON string."""
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_json(text.upper())


async def lets_the_disconnect_through(websocket: WebSocket) -> None:
    """Leaves a traceback in the server's log for every client that leaves."""
    await websocket.accept()
    while True:
        await websocket.send_text((await websocket.receive_text()).upper())


async def forgets_an_await(websocket: WebSocket) -> None:
    """Calls `send_text` without `await`, so that nothing is sent."""
    await websocket.accept()
    async for text in websocket.iter_text():
        websocket.send_text(text.upper())  # type: ignore[unused-coroutine]


async def shout_in_a_try(websocket: WebSocket) -> None:
    """Right: catches the disconnect itself."""
    await websocket.accept()
    try:
        while True:
            text = await websocket.receive_text()
            await websocket.send_text(text.upper())
    except WebSocketDisconnect:
        return


async def shout_by_events(websocket: WebSocket) -> None:
    """Right: reads the events below the methods."""
    await websocket.accept()
    while (event := await websocket.receive())["type"] != "websocket.disconnect":
        await websocket.send({"type": "websocket.send", "text": event["text"].upper()})


@pytest.mark.parametrize("answer", [shout, shout_in_a_try, shout_by_events])
def test_a_right_shout_passes(answer: Handler) -> None:
    """However it is written."""
    assert verdict(check_shout, answer).startswith("passed: ")


def forgets_async(websocket: WebSocket) -> None:
    """Is no coroutine function."""
    websocket.state.answer = "HI"


@pytest.mark.parametrize(
    ("answer", "help"),
    [
        (never_accepts, 'Need to call "accept" first'),
        (returns_without_accept, "stub"),
        (echoes, "sent 'hi', got 'hi', expected 'HI'"),
        (answers_once, "answer in a loop"),
        (sends_bytes, "got b'HI' (bytes), expected 'HI' (str)"),
        (sends_json, "got '\"HI\"', expected 'HI'"),
        (lets_the_disconnect_through, "iter_text()"),
        (forgets_async, "write `async def forgets_async`"),
        (forgets_an_await, "write `await websocket.send_text(…)`"),
    ],
)
def test_a_wrong_shout_gets_a_verdict_that_helps(answer: Handler, help: str) -> None:  # noqa: A002
    """Each typical mistake is named."""
    said = verdict(check_shout, answer)
    assert said.startswith("not yet: ")
    assert help in said


# exercise 2


class Calculation(Message):
    """The solution's message in."""

    type: Literal["calculate"] = "calculate"
    a: Annotated[float, Field(ge=-1e9, le=1e9)]
    op: Literal["+", "-", "*", "/"]
    b: Annotated[float, Field(ge=-1e9, le=1e9)]


class Result(Message):
    """The solution's message out."""

    type: Literal["result"] = "result"
    value: float


OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}


async def calculate(talk: Conversation, message: Calculation) -> None:
    """The heart of the solution."""
    try:
        value = OPERATORS[message.op](message.a, message.b)
    except ZeroDivisionError:
        await talk.send(Error(field="b", expected="a number other than 0"))
    else:
        await talk.send(Result(value=value))


async def calculator(websocket: WebSocket) -> None:
    """The solution of exercise 2."""
    await converse(websocket, calculate, model=Calculation)


def test_the_solution_of_exercise_2_passes() -> None:
    """The solution passes."""
    assert verdict(check_calculator, calculator).startswith("passed: ")


async def dies_on_zero(websocket: WebSocket) -> None:
    """Validates, and forgets that division can fail."""

    async def divide(talk: Conversation, message: Calculation) -> None:
        await talk.send(Result(value=OPERATORS[message.op](message.a, message.b)))

    await converse(websocket, divide, model=Calculation)


async def dies_on_bad_json(websocket: WebSocket) -> None:
    """Reads with `receive_json`."""
    await websocket.accept()
    while True:
        message = await websocket.receive_json()
        try:
            value = OPERATORS[message["op"]](message["a"], message["b"])
            await websocket.send_json({"type": "result", "value": value})
        except ZeroDivisionError:
            await websocket.send_json({"type": "error", "expected": "not zero"})


async def catches_json_only(websocket: WebSocket) -> None:
    """Takes JSON that is not the message for granted."""
    await websocket.accept()
    async for text in websocket.iter_text():
        try:
            message = json.loads(text)
            value = OPERATORS[message["op"]](message["a"], message["b"])
            await websocket.send_json({"type": "result", "value": value})
        except (ValueError, ZeroDivisionError):
            await websocket.send_json({"type": "error", "expected": "JSON"})


async def knows_one_operator(websocket: WebSocket) -> None:
    """Multiplies whatever the operator says."""

    async def multiply(talk: Conversation, message: Calculation) -> None:
        await talk.send(Result(value=message.a * message.b))

    await converse(websocket, multiply, model=Calculation)


async def error_of_its_own_shape(websocket: WebSocket) -> None:
    """Answers errors in another shape."""
    await websocket.accept()
    async for text in websocket.iter_text():
        try:
            message = Calculation.model_validate_json(text)
            value = OPERATORS[message.op](message.a, message.b)
            await websocket.send_json({"type": "result", "value": value})
        except (ValueError, ZeroDivisionError) as error:
            await websocket.send_json({"error": type(error).__name__})


async def dies_on_binary(websocket: WebSocket) -> None:
    """Handles all that is text."""
    await websocket.accept()
    async for text in websocket.iter_text():
        try:
            message = Calculation.model_validate_json(text)
            value = OPERATORS[message.op](message.a, message.b)
            await websocket.send_json({"type": "result", "value": value})
        except (ValueError, ZeroDivisionError):
            await websocket.send_json({"type": "error", "expected": "a calculation"})


async def returned(conversation: Conversation, message: Calculation) -> Any:
    """Returns the answer instead of sending it."""
    return Result(value=OPERATORS[message.op](message.a, message.b))


async def returns_its_answer(websocket: WebSocket) -> None:
    """Takes the callback for a route of a REST server."""
    await converse(websocket, returned, model=Calculation)


async def sent_as_a_dict(conversation: Conversation, message: Calculation) -> None:
    """Sends what is no Message."""
    answer: Any = {"type": "result", "value": OPERATORS[message.op](message.a, message.b)}
    await conversation.send(answer)


async def sends_a_dict(websocket: WebSocket) -> None:
    """Sends a dict."""
    await converse(websocket, sent_as_a_dict, model=Calculation)


async def not_awaited(conversation: Conversation, message: Calculation) -> None:
    """Forgets the `await` in the callback."""
    conversation.send(Result(value=OPERATORS[message.op](message.a, message.b)))  # type: ignore[unused-coroutine]


async def forgets_the_await_of_send(websocket: WebSocket) -> None:
    """Its callback never sends."""
    await converse(websocket, not_awaited, model=Calculation)


async def forgets_the_await_of_converse(websocket: WebSocket) -> None:
    """Never converses."""
    converse(websocket, calculate, model=Calculation)  # type: ignore[unused-coroutine]


def plain(conversation: Conversation, message: Calculation) -> Any:
    """Is no coroutine function."""


async def calls_back_a_plain_function(websocket: WebSocket) -> None:
    """Forgets the `async` of its callback."""
    await converse(websocket, plain, model=Calculation)


async def calculator_by_hand(websocket: WebSocket) -> None:
    """Right: without `converse`."""
    await websocket.accept()
    while (event := await websocket.receive())["type"] != "websocket.disconnect":
        try:
            message = Calculation.model_validate_json(event.get("text") or "")
            answer: Message = Result(value=OPERATORS[message.op](message.a, message.b))
        except (ValueError, ZeroDivisionError):
            answer = Error(expected="a calculation")
        await websocket.send_text(answer.encode())


async def calculate_with_ifs(conversation: Conversation, message: Calculation) -> None:
    """Looks at the operator first."""
    if message.op == "/" and message.b == 0:
        await conversation.send(Error(field="b", expected="a number other than 0"))
        return
    await conversation.send(Result(value=OPERATORS[message.op](message.a, message.b)))


async def calculator_with_ifs(websocket: WebSocket) -> None:
    """Right: tests before it divides, and accepts by itself."""
    await websocket.accept()
    await converse(websocket, calculate_with_ifs, model=Calculation)


@pytest.mark.parametrize("b", ["0", "5e-324", "-1e-10", "1e-9", "1e9", "1e308"])
@pytest.mark.parametrize("op", ["+", "-", "*", "/"])
def test_only_a_division_by_0_needs_an_error_of_the_readers_own(op: str, b: str) -> None:
    """Every other Calculation has a result that can be sent, however large or small its numbers are."""
    message = parse(f'{{"type": "calculate", "a": 1e9, "op": "{op}", "b": {b}}}', given.Calculation)
    if isinstance(message, given.Calculation) and (op, b) != ("/", "0"):
        assert given.Result(value=given.compute(message.a, message.op, message.b)).encode()
    assert isinstance(message, Error) == (b in {"5e-324", "-1e-10", "1e308"})


@pytest.mark.parametrize("answer", [calculator, calculator_by_hand, calculator_with_ifs])
def test_a_right_calculator_passes(answer: Handler) -> None:
    """However it is written."""
    assert verdict(check_calculator, answer).startswith("passed: ")


async def stub(websocket: WebSocket) -> None:
    """The stub of all three exercises."""
    raise NotImplementedError


@pytest.mark.parametrize(
    ("answer", "help"),
    [
        (dies_on_zero, "ZeroDivisionError"),
        (dies_on_bad_json, "JSONDecodeError"),
        (catches_json_only, "KeyError: 'b'"),
        (knows_one_operator, "expected {'type': 'result', 'value': 9}"),
        (error_of_its_own_shape, 'expected {"type": "error", …}'),
        (dies_on_binary, "KeyError: 'text'"),
        (returns_its_answer, "send it with `await conversation.send(…)`"),
        (sends_a_dict, "send takes a Message, got {'type': 'result'"),
        (forgets_the_await_of_send, "write `await conversation.send(…)`"),
        (forgets_the_await_of_converse, "write `await converse(…)`"),
        (calls_back_a_plain_function, "write `async def`"),
        (stub, "stub"),
    ],
)
def test_a_wrong_calculator_gets_a_verdict_that_helps(answer: Handler, help: str) -> None:  # noqa: A002
    """Each typical mistake is named."""
    said = verdict(check_calculator, answer)
    assert said.startswith("not yet: ")
    assert help in said


# exercise 3


async def count(websocket: WebSocket, start: int, pause: float) -> None:
    """The writer of the solution."""
    for number in range(start, -1, -1):
        await websocket.send_text(str(number))
        await asyncio.sleep(pause)
    await websocket.close()


async def countdown(websocket: WebSocket, start: int = 10, pause: float = 1.0) -> None:
    """The solution of exercise 3."""
    await websocket.accept()
    writer = asyncio.create_task(count(websocket, start, pause))
    try:
        async for _ in websocket.iter_text():
            pass
    finally:
        writer.cancel()
        await asyncio.wait([writer])


def test_the_solution_of_exercise_3_passes() -> None:
    """The solution passes."""
    assert verdict(check_countdown, countdown).startswith("passed: ")


async def countdown_with_first_completed(websocket: WebSocket, start: int = 10, pause: float = 1.0) -> None:
    """Right: whichever ends first, both end."""

    async def read() -> None:
        async for _ in websocket.iter_text():
            pass

    await websocket.accept()
    tasks = [asyncio.create_task(read()), asyncio.create_task(count(websocket, start, pause))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def countdown_with_a_deadline(websocket: WebSocket, start: int = 10, pause: float = 1.0) -> None:
    """Right: its pause is a wait for the client's next event."""
    await websocket.accept()
    for number in range(start, -1, -1):
        await websocket.send_text(str(number))
        try:
            await asyncio.wait_for(websocket.receive_text(), pause)
        except TimeoutError:
            continue
        except WebSocketDisconnect:
            return
    await websocket.close()


async def countdown_with_a_quiet_await(websocket: WebSocket, start: int = 10, pause: float = 1.0) -> None:
    """Right: awaits the writer, and expects its CancelledError."""
    await websocket.accept()
    writer = asyncio.create_task(count(websocket, start, pause))
    try:
        await _read(websocket)
    finally:
        writer.cancel()
        with suppress(asyncio.CancelledError):
            await writer


async def countdown_in_a_group(websocket: WebSocket, start: int = 10, pause: float = 1.0) -> None:
    """Right: a group waits for its tasks, and cancels them when the handler is cancelled."""
    await websocket.accept()
    async with asyncio.TaskGroup() as group:
        writer = group.create_task(count(websocket, start, pause))
        await _read(websocket)
        writer.cancel()


RIGHT_COUNTDOWNS = [
    *(countdown, countdown_with_first_completed, countdown_with_a_deadline),
    *(countdown_with_a_quiet_await, countdown_in_a_group),
]


@pytest.mark.parametrize("answer", RIGHT_COUNTDOWNS)
def test_a_right_countdown_passes(answer: Handler) -> None:
    """However it is written."""
    assert verdict(check_countdown, answer).startswith("passed: ")


async def forgets_an_await_in_the_countdown(websocket: WebSocket, start: int = 10, pause: float = 1.0) -> None:
    """Never counts."""
    await websocket.accept()
    count(websocket, start, pause)  # type: ignore[unused-coroutine]
    async for _ in websocket.iter_text():
        pass


async def only_counts(websocket: WebSocket, start: int = 10, pause: float = 1.0) -> None:
    """Never receives."""
    await websocket.accept()
    await count(websocket, start, pause)


async def gathers(websocket: WebSocket, start: int = 10, pause: float = 1.0) -> None:
    """Gathers the reader and the writer."""
    await websocket.accept()

    async def read() -> None:
        async for _ in websocket.iter_text():
            pass

    await asyncio.gather(read(), count(websocket, start, pause))


async def forgets_its_task(websocket: WebSocket, start: int = 10, pause: float = 1.0) -> None:
    """Starts a writer and never cancels it."""
    await websocket.accept()
    websocket.state.writer = asyncio.create_task(count(websocket, start, pause))
    async for _ in websocket.iter_text():
        pass


async def stops_at_one(websocket: WebSocket, start: int = 10, pause: float = 1.0) -> None:
    """Is one short."""
    await websocket.accept()
    for number in range(start, 0, -1):
        await websocket.send_text(str(number))
        await asyncio.sleep(pause)
    await websocket.close()


async def just_returns(websocket: WebSocket, start: int = 10, pause: float = 1.0) -> None:
    """Leaves the close to uvicorn."""
    await websocket.accept()
    for number in range(start, -1, -1):
        await websocket.send_text(str(number))
        await asyncio.sleep(pause)


async def ignores_the_pause(websocket: WebSocket, start: int = 10, pause: float = 1.0) -> None:
    """Sleeps for a second each."""
    await countdown(websocket, start, 1.0)


async def blocks(websocket: WebSocket, start: int = 10, pause: float = 1.0) -> None:
    """Sleeps without `await`."""
    await websocket.accept()
    for number in range(start, -1, -1):
        await websocket.send_text(str(number))
        time.sleep(min(pause, 1.0))  # noqa: ASYNC251
    await websocket.close()


async def fails_when_the_client_leaves(websocket: WebSocket, start: int = 10, pause: float = 1.0) -> None:
    """Stops in time, with a traceback in the log."""
    await websocket.accept()
    writer = asyncio.create_task(count(websocket, start, pause))
    try:
        while True:
            await websocket.receive_text()
    except WebSocketDisconnect as left:
        writer.cancel()
        await asyncio.wait([writer])
        if left.code == 1000 and pause > 1:
            raise


async def never_accepts_its_client(websocket: WebSocket, start: int = 10, pause: float = 1.0) -> None:
    """Forgets `accept`."""
    writer = asyncio.create_task(count(websocket, start, pause))
    try:
        async for _ in websocket.iter_text():
            pass
    finally:
        writer.cancel()
        await asyncio.wait([writer])


async def _read(websocket: WebSocket) -> None:
    async for _ in websocket.iter_text():
        pass


async def cancels_both_when_one_has_ended(websocket: WebSocket, start: int = 10, pause: float = 1.0) -> None:
    """The third way of section 7: leaves ghosts when the handler is cancelled."""
    await websocket.accept()
    reader = asyncio.create_task(_read(websocket))
    writer = asyncio.create_task(count(websocket, start, pause))
    await asyncio.wait([reader, writer], return_when=asyncio.FIRST_COMPLETED)
    reader.cancel()
    writer.cancel()
    await asyncio.wait([reader, writer])


async def cancels_without_waiting(websocket: WebSocket, start: int = 10, pause: float = 1.0) -> None:
    """Ends before its writer."""
    await websocket.accept()
    writer = asyncio.create_task(count(websocket, start, pause))
    try:
        await _read(websocket)
    finally:
        writer.cancel()


async def awaits_the_writer(websocket: WebSocket, start: int = 10, pause: float = 1.0) -> None:
    """Gets the writer's CancelledError, as if the handler itself had been cancelled."""
    await websocket.accept()
    writer = asyncio.create_task(count(websocket, start, pause))
    try:
        await _read(websocket)
    finally:
        writer.cancel()
        await writer


async def fails_at_a_message(websocket: WebSocket, start: int = 10, pause: float = 1.0) -> None:
    """Reads with `read_and_fail`, the reader of section 7."""
    await websocket.accept()
    writer = asyncio.create_task(count(websocket, start, pause))
    try:
        async for text in websocket.iter_text():
            raise ValueError(text)
    finally:
        writer.cancel()
        await asyncio.wait([writer])


async def counts_in_a_loop_that_raises(websocket: WebSocket, start: int = 10, pause: float = 1.0) -> None:
    """Reads with `receive_text`, which raises when the client leaves."""
    await websocket.accept()
    writer = asyncio.create_task(count(websocket, start, pause))
    try:
        while True:
            await websocket.receive_text()
    finally:
        writer.cancel()
        await asyncio.wait([writer])


async def reads_in_a_task(websocket: WebSocket, start: int = 10, pause: float = 1.0) -> None:
    """Makes the reader a task, and waits for the counting."""
    await websocket.accept()
    reader = asyncio.create_task(_read(websocket))
    try:
        await count(websocket, start, pause)
    finally:
        reader.cancel()
        await asyncio.wait([reader])


async def groups(websocket: WebSocket, start: int = 10, pause: float = 1.0) -> None:
    """Waits for both with a TaskGroup."""
    await websocket.accept()
    async with asyncio.TaskGroup() as group:
        group.create_task(_read(websocket))
        group.create_task(count(websocket, start, pause))


async def reads_before_it_starts_the_writer(websocket: WebSocket, start: int = 10, pause: float = 1.0) -> None:
    """Reads until the client leaves, and only then counts."""
    await websocket.accept()
    await _read(websocket)
    writer = asyncio.create_task(count(websocket, start, pause))
    writer.cancel()
    await asyncio.wait([writer])


async def waits_for_no_list(websocket: WebSocket, start: int = 10, pause: float = 1.0) -> None:
    """Hands the task itself to `wait`."""
    await websocket.accept()
    writer = asyncio.create_task(count(websocket, start, pause))
    try:
        await _read(websocket)
    finally:
        writer.cancel()
        await asyncio.wait(writer)  # type: ignore[type-var]


async def loops_over_the_websocket(websocket: WebSocket, start: int = 10, pause: float = 1.0) -> None:
    """Forgets `iter_text()`."""
    await websocket.accept()
    writer = asyncio.create_task(count(websocket, start, pause))
    try:
        async for _ in websocket:  # type: ignore[attr-defined]
            pass
    finally:
        writer.cancel()
        await asyncio.wait([writer])


async def makes_no_task(websocket: WebSocket, start: int = 10, pause: float = 1.0) -> None:
    """Calls the writer, and never starts it."""
    await websocket.accept()
    writer = count(websocket, start, pause)
    await _read(websocket)
    writer.close()  # or the test would warn of it


async def cancels_a_coroutine(websocket: WebSocket, start: int = 10, pause: float = 1.0) -> None:
    """Takes the coroutine for its task."""
    await websocket.accept()
    writer = count(websocket, start, pause)
    try:
        writer.cancel()  # type: ignore[attr-defined]
    finally:
        writer.close()


async def makes_a_task_of_a_function(websocket: WebSocket, start: int = 10, pause: float = 1.0) -> None:
    """Doesn't call the writer."""
    await websocket.accept()
    asyncio.create_task(count)  # type: ignore[arg-type]  # noqa: RUF006


@pytest.mark.parametrize(
    ("answer", "help"),
    [
        (makes_no_task, "`count(…)` was called, and never started: start it with `asyncio.create_task(count(…))`"),
        (cancels_a_coroutine, "make a task of the coroutine, with `asyncio.create_task(…)`"),
        (makes_a_task_of_a_function, "call the function, with its arguments: that makes the coroutine"),
        (forgets_an_await_in_the_countdown, "write `await count(…)`"),
        (only_counts, "the client left, but only_counts still runs"),
        (gathers, "the client left, but gathers still runs"),
        (groups, "the client left, but groups still runs"),
        (reads_in_a_task, "still runs; keep a receiver waiting, and let the handler end when the receiver does"),
        (reads_before_it_starts_the_writer, "got nothing, expected"),
        (waits_for_no_list, "expect a list of futures, not Task in the line `await asyncio.wait(writer)"),
        (loops_over_the_websocket, "'async for' requires an object with __aiter__"),
        (forgets_its_task, "the task count still runs; cancel and await it in a `finally`"),
        (stops_at_one, "expected '0', but the connection was closed: code 1000"),
        (just_returns, "after 0 the client saw 1006; close the connection yourself"),
        (ignores_the_pause, "sleep for `pause` seconds"),
        (blocks, "no time.sleep"),
        (never_accepts_its_client, 'Need to call "accept" first'),
        (cancels_both_when_one_has_ended, "the handler was cancelled, but the task"),
        (cancels_without_waiting, "count ended only after the handler; cancel it, and wait until it has ended"),
        (awaits_the_writer, "wait with `await asyncio.wait([task])`"),
        (fails_at_a_message, "ValueError: hi"),
        (counts_in_a_loop_that_raises, "WebSocketDisconnect"),
        (fails_when_the_client_leaves, "raised WebSocketDisconnect"),
    ],
)
def test_a_wrong_countdown_gets_a_verdict_that_helps(answer: Handler, help: str) -> None:  # noqa: A002
    """Each typical mistake is named."""
    said = verdict(check_countdown, answer)
    assert said.startswith("not yet: ")
    assert help in said


@pytest.mark.parametrize("check", [check_shout, check_calculator, check_countdown])
@pytest.mark.parametrize("answer", [stub, None, 7, print, WebSocket])
def test_a_check_never_raises(check: Handler, answer: Any) -> None:
    """Whatever is handed in, the verdict is one sentence."""
    assert verdict(check, answer).startswith("not yet: ")
