"""The check of exercise 3 of lesson 03: a typing indicator that stops by itself."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from .harness.clock import without_waiting
from .verdict import NotYet, judged, reason_of, refuse_stub, result_of, shown

__all__ = ["check_typing"]

PAUSE = 2.0
KEYS = ((0.0, "ana"), (1.0, "ana"), (1.5, "ben"), (6.0, "ana"))
"""When, in seconds, which user presses a key."""
TOLD = (
    (0.0, "ana is typing"),
    (1.5, "ben is typing"),
    (3.0, "ana stopped"),
    (3.5, "ben stopped"),
    (6.0, "ana is typing"),
    (8.0, "ana stopped"),
)
"""What the room must be told, and when."""
END = 12.0

Told = tuple[float, str]


@judged("the room is told once that a user is typing, and that they stopped after their last key")
def check_typing(typing_indicator: Callable[..., Any]) -> None:
    """Check ``typing_indicator(tell, pause)``: it tells the room when a user starts to type, and when they stop.

    The clock of this check jumps to the next timer, so it doesn't wait.
    """
    refuse_stub(typing_indicator)

    def play() -> list[Told] | Exception:
        return _play(typing_indicator)

    play.__name__ = getattr(typing_indicator, "__name__", "typing_indicator")
    outcome = result_of(play)
    if isinstance(outcome, NotYet):
        raise outcome
    if isinstance(outcome, Exception):
        refuse_stub(typing_indicator, outcome)
        raise NotYet(f"typing_indicator raised {reason_of(outcome, typing_indicator)}")
    _compare(outcome)


def _play(typing_indicator: Callable[..., Any]) -> list[Told] | Exception:
    """Press the keys, and return what the room was told when, or the exception that was raised."""
    told: list[Told] = []

    def tell(*texts: object, **options: object) -> None:
        if len(texts) != 1 or options:
            called = ", ".join([*map(shown, texts), *(f"{name}={shown(value)}" for name, value in options.items())])
            raise NotYet(f"`tell` takes one text, such as 'ana is typing', and was called as tell({called})")
        [text] = texts
        told.append((round(asyncio.get_running_loop().time(), 3), text if isinstance(text, str) else shown(text)))

    async def press_all() -> list[Told]:
        now = asyncio.get_running_loop().time
        pressed = typing_indicator(tell, PAUSE)
        if not callable(pressed):
            raise NotYet(f"typing_indicator returned {shown(pressed)}, expected the function to call at each key")
        for when, user in KEYS:
            await asyncio.sleep(when - now())
            if inspect.iscoroutine(pressing := pressed(user)):
                pressing.close()
                raise NotYet("the function that is called at each key is a coroutine; write it with `def`")
        await asyncio.sleep(END - now())
        return told

    try:
        return without_waiting(press_all())
    except Exception as error:
        return error


def _compare(told: list[Told]) -> None:
    """Raise `NotYet` for the first difference."""
    for got, expected in zip([*told, None], [*TOLD, None], strict=False):
        if got != expected:
            raise NotYet(_typing_hint(got, expected, told))


def _typing_hint(got: Told | None, expected: Told | None, told: list[Told]) -> str:
    if expected is None and got is not None:
        return f"at {got[0]:g} s the room was told {shown(got[1])} once more; cancel the timer that isn't needed"
    assert expected is not None
    when, text = expected
    if got is None or got[0] > when:
        return _silence_hint(when, text)
    if got[1] == "ana is typing":
        return f"{_presses(got[0])}, and the room was told {got[1]!r} again; only the first key is news"
    if got[1] == "ana stopped" and got[0] < when:
        return f"ana's last key was at 1 s, and 'ana stopped' was told at {got[0]:g} s; cancel the earlier timer"
    if got[0] == when:
        return f"{_presses(when)}, and the room was told {shown(got[1])}, expected {text!r}"
    return f"at {got[0]:g} s the room was told {shown(got[1])}, expected nothing until {text!r} at {when:g} s"


def _silence_hint(when: float, text: str) -> str:
    if (when, text) == TOLD[-2]:
        return (
            "ana had stopped and pressed a key again, and the room was told nothing; forget her timer when it has fired"
        )
    if text.endswith("typing"):
        return f"{_presses(when)}, and the room was told nothing, expected {text!r}"
    user = text.split(maxsplit=1)[0]
    last = when - PAUSE
    return (
        f"{user}'s last key was at {last:g} s, and at {when:g} s the room was not told {text!r}; "
        f"start a timer for each user with `call_later(pause, …)`, in seconds"
    )


def _presses(when: float) -> str:
    return next((f"{user} pressed a key at {at:g} s" for at, user in reversed(KEYS) if at <= when), f"at {when:g} s")
