"""Checks of the exercises of lesson 02."""

from __future__ import annotations

from typing import Any

from ..trial import Trial
from ..trial_client import TrialClient
from ..verdict import NotYet, judged, shown

__all__ = ["check_calculator", "check_countdown", "check_shout"]

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
    return "; a handler that returns ends the connection, so answer in a loop" if returned else ""


# exercise 2

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


@judged("it calculates, and answers every bad message with an error instead of dying")
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


@judged("it counts to 0, closes with 1000, and stops as soon as its client leaves")
def check_countdown(countdown: Handler) -> None:
    """Check ``countdown(websocket, start, pause)``: start … 0, `pause` seconds apart, and no longer than its client."""
    with Trial(countdown) as trial:
        _expect_countdown(trial.connect("/ws?start=3&pause=0.01"))
        client = trial.connect("/ws?start=3&pause=60")
        client.expect("3")
        client.leave()
        trial.wait_ended()
        if failure := trial.failure():
            raise NotYet(f"the client left, and {failure}")


def _expect_countdown(client: TrialClient) -> None:
    for number in "3210":
        try:
            client.expect(number)
        except NotYet as missing:
            slow = "got nothing" in str(missing) and number != "3"
            raise NotYet(f"{missing}{'; sleep for `pause` seconds' if slow else ''}") from None
    end = client.closed()
    if end.code != 1000:
        raise NotYet(
            f"after 0 the client saw {end.code}; close it yourself, as uvicorn does not when a handler returns"
        )
