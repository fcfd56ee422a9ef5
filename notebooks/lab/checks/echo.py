"""Checks of the exercises of lesson 02."""

from __future__ import annotations

import operator
import time
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from server.messages import Message

from .harness.client import TrialClient
from .harness.trial import Trial
from .verdict import NotYet, judged, shown

__all__ = ["Calculation", "Result", "check_calculator", "check_countdown", "check_shout", "compute"]

Handler = Any  # whatever the reader has written


# exercise 1


@judged("every message comes back in capitals, until the client leaves")
def check_shout(shout: Handler) -> None:
    """Check ``shout(websocket)``: it answers each text message in capital letters."""
    with Trial(shout) as trial, trial.connect() as client:
        client.send("hi")
        client.expect("HI")
        try:
            client.send("Straße")
            client.expect("STRASSE")
        except NotYet as missing:
            raise NotYet(f"{missing}{_loop_hint(missing)}") from None
        client.leave()
        trial.wait_ended()
        if failure := trial.failure():
            raise NotYet(f"the client left, and {failure}; loop with `async for … in websocket.iter_text()`")


def _loop_hint(missing: NotYet) -> str:
    returned = "the connection was closed: code 1006" in str(missing)
    return "; when a handler returns, the connection ends, so answer in a loop" if returned else ""


# exercise 2


LARGEST = 1e9
SMALLEST = 1e-9  # a billion divided by less might be no finite number


def _not_tiny(number: float) -> float:
    if 0 < abs(number) < SMALLEST:
        raise ValueError(f"0, or a number of at least {SMALLEST:g}")
    return number


Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST), AfterValidator(_not_tiny)]


class Calculation(Message):
    """Two numbers and an operator, as a client sends them; only a division by 0 has no finite result."""

    type: Literal["calculate"] = "calculate"
    a: Number
    op: Literal["+", "-", "*", "/"]
    b: Number


class Result(Message):
    """The answer to a calculation."""

    type: Literal["result"] = "result"
    value: float


def compute(a: float, op: str, b: float) -> float:
    """Return ``a op b`` for one of the operators ``+ - * /``.

    Raises:
        ZeroDivisionError: a division by 0.
        KeyError: `op` is none of the four.
    """
    operators = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
    value: float = operators[op](a, b)
    return value


SUMS = (("+", 9), ("-", 3), ("*", 18), ("/", 2))
BAD = (
    '{"type": "calculate", "a": 6, "op": "/", "b": 0}',
    '{"type": "calculate", "a": 6',
    "six times seven",
    '{"type": "calculate", "a": 6, "op": "*"}',
    '{"type": "calculate", "a": "6", "op": "*", "b": 7}',
    '{"type": "calculate", "a": NaN, "op": "*", "b": 7}',
    '{"type": "calculate", "a": 6, "op": "**", "b": 7}',
    b'{"type": "calculate", "a": 6, "op": "*", "b": 7}',
)


@judged("it calculates, and answers every bad message with an error instead of crashing")
def check_calculator(calculator: Handler) -> None:
    """Check ``calculator(websocket)``: ``{"type": "calculate", "a": 6, "op": "*", "b": 7}`` gives a result.

    The answer is ``{"type": "result", "value": 42}``; to whatever cannot be calculated it is a
    message of type ``error``, and the conversation goes on.
    """
    with Trial(calculator) as trial, trial.connect() as client:
        for op, value in SUMS:
            _expect_result(client, op, value)
        for message in BAD:
            client.send(message)
            answer = client.receive_json("a message of type error")
            if not isinstance(answer, dict) or answer.get("type") != "error":
                raise NotYet(f'sent {shown(message)}, got {shown(answer)}, expected {{"type": "error", …}}')
        _expect_result(client, "+", 9)
        client.leave()
        trial.wait_ended()


def _expect_result(client: TrialClient, op: str, value: int) -> None:
    client.send_json({"type": "calculate", "a": 6, "op": op, "b": 3})
    client.expect_json({"type": "result", "value": value})


# exercise 3

SLOW = 2.0  # seconds; three pauses of the default, 1 s each, take more, and three of 0.01 s less on any machine


@judged("it counts to 0, closes with 1000, and stops as soon as its client leaves")
def check_countdown(countdown: Handler) -> None:
    """Check ``countdown(websocket, start, pause)``: start … 0, `pause` seconds apart, and no longer than its client.

    It ignores what the client sends, and leaves no task when the client leaves or when the handler is cancelled.
    """
    with Trial(countdown) as trial:
        client = trial.connect("/ws?start=3&pause=0.01")
        client.send("hi")
        _expect_countdown(client)
        _expect_end(trial, "it counted to 0")
        client = trial.connect("/ws?start=3&pause=60")
        client.expect("3")
        client.leave()
        _expect_end(trial, "the client left")
        client = trial.connect("/ws?start=3&pause=60")
        client.expect("3")
        trial.cancel()
        _expect_end(trial, "the handler was cancelled")


def _expect_end(trial: Trial, after: str) -> None:
    """Expect that the handler has ended, its tasks before it, and without an error."""
    trial.wait_ended(after)
    if failure := trial.failure():
        raise NotYet(f"{after}, and {failure}")
    if left := trial.outlived():
        raise NotYet(f"{after}, and {left[0]} ended only after the handler; cancel it, and wait until it has ended")


def _expect_countdown(client: TrialClient) -> None:
    started = time.monotonic()
    for number in "3210":
        try:
            client.expect(number)
        except NotYet as missing:
            slow = "got nothing" in str(missing) and number != "3"
            raise NotYet(f"{missing}{'; sleep for `pause` seconds' if slow else ''}") from None
    if (took := time.monotonic() - started) > SLOW:
        raise NotYet(f"with pause=0.01, it took {took:.1f} s to count from 3 to 0; sleep for `pause` seconds")
    end = client.closed()
    if end.code != 1000:
        raise NotYet(
            f"after 0 the client saw {end.code}; close the connection yourself, because a handler that returns doesn't"
        )
