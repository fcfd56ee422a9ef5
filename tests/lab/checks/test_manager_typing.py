"""Verdicts on the typing indicator of lesson 03: the stub, the solutions, and the answers that people really give."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from lab.checks.manager import check_typing

from tests.lab.checks.verdicts import verdict

Answer = Callable[..., Any]


def typing_indicator(tell: Answer, pause: float = 2.0) -> Answer:
    """The solution of exercise 3."""
    timers: dict[str, asyncio.TimerHandle] = {}

    def stopped(user: str) -> None:
        del timers[user]
        tell(f"{user} stopped")

    def pressed(user: str) -> None:
        if user in timers:
            timers[user].cancel()
        else:
            tell(f"{user} is typing")
        timers[user] = asyncio.get_running_loop().call_later(pause, stopped, user)

    return pressed


def with_tasks(tell: Answer, pause: float = 2.0) -> Answer:
    """The same with a task for each user."""
    tasks: dict[str, asyncio.Task[None]] = {}

    async def stop(user: str) -> None:
        await asyncio.sleep(pause)
        del tasks[user]
        tell(f"{user} stopped")

    def pressed(user: str) -> None:
        if user in tasks:
            tasks[user].cancel()
        else:
            tell(f"{user} is typing")
        tasks[user] = asyncio.create_task(stop(user))

    return pressed


def with_a_deadline(tell: Answer, pause: float = 2.0) -> Answer:
    """The same with one timer for each key, which looks whether it was the last."""
    last: dict[str, float] = {}

    def pressed(user: str) -> None:
        loop = asyncio.get_running_loop()
        if user not in last:
            tell(f"{user} is typing")
        last[user] = loop.time()
        loop.call_later(pause, stop, user, last[user])

    def stop(user: str, when: float) -> None:
        if last.get(user) == when:
            del last[user]
            tell(f"{user} stopped")

    return pressed


@pytest.mark.parametrize("answer", [typing_indicator, with_tasks, with_a_deadline])
def test_a_typing_indicator_that_stops_passes(answer: Answer) -> None:
    """The solution passes, and so do other ways to do it."""
    passed = "passed: the room is told once that a user is typing, and that they stopped after their last key"
    assert verdict(check_typing, answer) == passed


def typing_stub(tell: Answer, pause: float = 2.0) -> Answer:
    """The answer cell as it is."""

    def pressed(user: str) -> None:
        raise NotImplementedError

    return pressed


def never_stops(tell: Answer, pause: float = 2.0) -> Answer:
    """Only the beginning."""
    typing: set[str] = set()

    def pressed(user: str) -> None:
        if user not in typing:
            typing.add(user)
            tell(f"{user} is typing")

    return pressed


def tells_each_key(tell: Answer, pause: float = 2.0) -> Answer:
    """Only the room's patience ends."""
    return lambda user: tell(f"{user} is typing")


def says_nothing(tell: Answer, pause: float = 2.0) -> Answer:
    """Forgets to tell."""
    return lambda user: None


def old_timers_run_on(tell: Answer, pause: float = 2.0) -> Answer:
    """Forgets to cancel."""
    typing: set[str] = set()

    def stopped(user: str) -> None:
        if user in typing:
            typing.remove(user)
            tell(f"{user} stopped")

    def pressed(user: str) -> None:
        if user not in typing:
            typing.add(user)
            tell(f"{user} is typing")
        asyncio.get_running_loop().call_later(pause, stopped, user)

    return pressed


def stops_twice(tell: Answer, pause: float = 2.0) -> Answer:
    """Forgets to cancel, and to look."""
    typing: set[str] = set()

    def stopped(user: str) -> None:
        typing.remove(user)
        tell(f"{user} stopped")

    def pressed(user: str) -> None:
        if user not in typing:
            tell(f"{user} is typing")
        typing.add(user)
        asyncio.get_running_loop().call_later(pause, stopped, user)

    return pressed


def one_timer_for_all(tell: Answer, pause: float = 2.0) -> Answer:
    """Ben's keys keep Ana typing."""
    typing: set[str] = set()
    timer: list[asyncio.TimerHandle] = []

    def stopped(user: str) -> None:
        typing.discard(user)
        tell(f"{user} stopped")

    def pressed(user: str) -> None:
        if timer:
            timer.pop().cancel()
        if user not in typing:
            typing.add(user)
            tell(f"{user} is typing")
        timer.append(asyncio.get_running_loop().call_later(pause, stopped, user))

    return pressed


def remembers_old_timers(tell: Answer, pause: float = 2.0) -> Answer:
    """A timer that is over still counts."""
    timers: dict[str, asyncio.TimerHandle] = {}

    def pressed(user: str) -> None:
        if user in timers:
            timers[user].cancel()
        else:
            tell(f"{user} is typing")
        timers[user] = asyncio.get_running_loop().call_later(pause, tell, f"{user} stopped")

    return pressed


def milliseconds(tell: Answer, pause: float = 2.0) -> Answer:
    """As in JavaScript."""
    return typing_indicator(tell, pause * 1_000)


def another_text(tell: Answer, pause: float = 2.0) -> Answer:
    """Says it in its own words."""
    return typing_indicator(lambda text: tell(text.replace("is typing", "types")), pause)


def written_async(tell: Answer, pause: float = 2.0) -> Answer:
    """A coroutine is called, and never awaited."""

    async def pressed(user: str) -> None:
        tell(f"{user} is typing")

    return pressed


def forgets_to_return(tell: Answer, pause: float = 2.0) -> None:
    """Defines the function, and keeps it."""
    typing_indicator(tell, pause)


def fails_in_the_timer(tell: Answer, pause: float = 2.0) -> Answer:
    """The error happens when nobody is looking."""

    def stopped(user: str) -> None:
        raise KeyError(user)

    def pressed(user: str) -> None:
        asyncio.get_running_loop().call_later(pause, stopped, user)

    return pressed


def sleeps(tell: Answer, pause: float = 2.0) -> Answer:
    """Stops the whole server instead of one timer."""

    def pressed(user: str) -> None:
        tell(f"{user} is typing")
        time.sleep(pause)
        tell(f"{user} stopped")

    return pressed


def tells_two_things(tell: Answer, pause: float = 2.0) -> Answer:
    """As if it were `to_user`."""

    def pressed(user: str) -> None:
        tell(user, "is typing")

    return pressed


def tells_two_things_later(tell: Answer, pause: float = 2.0) -> Answer:
    """In a timer, where nobody is looking."""

    def pressed(user: str) -> None:
        tell(f"{user} is typing")
        asyncio.get_running_loop().call_later(pause, lambda: tell(user, what="stopped"))

    return pressed


WRONG_TYPING = [
    (typing_stub, "typing_stub is still the stub"),
    (never_stops, "ana's last key was at 1 s, and at 3 s the room was not told 'ana stopped'; start a timer"),
    (
        tells_each_key,
        "ana pressed a key at 1 s, and the room was told 'ana is typing' again; only the first key is news",
    ),
    (says_nothing, "ana pressed a key at 0 s, and the room was told nothing, expected 'ana is typing'"),
    (old_timers_run_on, "'ana stopped' was told at 2 s; cancel the earlier timer"),
    (stops_twice, "raised KeyError: 'ana' in the line `typing.remove(user)`"),
    (one_timer_for_all, "at 3 s the room was not told 'ana stopped'; start a timer for each user"),
    (remembers_old_timers, "pressed a key again, and the room was told nothing; forget her timer when it has fired"),
    (milliseconds, "`call_later(pause, …)`, in seconds"),
    (another_text, "ana pressed a key at 0 s, and the room was told 'ana types', expected 'ana is typing'"),
    (written_async, "is a coroutine; write it with `def`"),
    (forgets_to_return, "typing_indicator returned None, expected the function to call at each key"),
    (fails_in_the_timer, "raised KeyError: 'ana' in the line `raise KeyError(user)`"),
    (sleeps, "sleeps() did not return within 1 s"),
    (tells_two_things, "`tell` takes one text, such as 'ana is typing', and was called as tell('ana', 'is typing')"),
    (tells_two_things_later, "and was called as tell('ana', what='stopped')"),
    (typing_indicator(print), "raised TypeError"),
    (None, "expected a function"),
]


@pytest.mark.parametrize(("answer", "help_"), WRONG_TYPING)
def test_a_wrong_typing_indicator_gets_a_verdict_that_helps(answer: Answer, help_: str) -> None:
    """The verdict on each typical mistake names the first moment at which the room is told something wrong."""
    said = verdict(check_typing, answer)
    assert said.startswith("not yet: ")
    assert help_ in said
