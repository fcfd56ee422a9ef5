"""The verdicts on muting in deeper/four-ways: the stub, the solution, and the answers that people really give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from lab.checks.notifications import check_mute

from tests.lab.checks.verdicts import verdict

Answer = Callable[..., Any]

Functions = tuple[Callable[[str], Any], Callable[[dict[str, Any]], Any]]


def muting(outbox: Any, muted: set[str] | None = None) -> Functions:
    """The solution of exercise 1."""
    muted = set() if muted is None else muted

    def hear(text: str) -> None:
        word, kind = text.split()
        (muted.add if word == "mute" else muted.discard)(kind)

    def put(notification: dict[str, Any]) -> None:
        is_muted = notification["kind"] in muted
        outbox.put({"position": notification["position"]} if is_muted else notification)

    return hear, put


def stub_muting(outbox: Any) -> Functions:
    """As the notebook has it."""
    raise NotImplementedError


_shared: set[str] = set()


def one_set_for_all(outbox: Any) -> Functions:
    """The set is outside."""
    _shared.clear()
    return muting(outbox, _shared)


def silent(outbox: Any) -> Functions:
    """Drops what is muted, its position too."""
    muted: set[str] = set()
    hear, _ = muting(outbox, muted)

    def put(notification: dict[str, Any]) -> None:
        if notification["kind"] not in muted:
            outbox.put(notification)

    return hear, put


def spoils_dict(outbox: Any) -> Functions:
    """Takes the text out of the dict that all devices get."""
    muted: set[str] = set()
    hear, _ = muting(outbox, muted)

    def put(notification: dict[str, Any]) -> None:
        if notification["kind"] in muted:
            del notification["kind"], notification["text"]
        outbox.put(notification)

    return hear, put


def deaf_ears(outbox: Any) -> Functions:
    """Mutes what nobody means."""
    muted: set[str] = set()
    return muted.add, muting(outbox, muted)[1]


def only_one(outbox: Any) -> Functions:
    """Remembers one muted kind."""
    muted: set[str] = set()

    def hear(text: str) -> None:
        word, kind = text.split()
        muted.clear()
        if word == "mute":
            muted.add(kind)

    return hear, muting(outbox, muted)[1]


def forgetful(outbox: Any) -> Functions:
    """Removes what is not there."""
    muted: set[str] = set()

    def hear(text: str) -> None:
        word, kind = text.split()
        (muted.add if word == "mute" else muted.remove)(kind)

    return hear, muting(outbox, muted)[1]


def one_function(outbox: Any) -> Any:
    """Returns only `put`."""
    return muting(outbox)[1]


def twice(outbox: Any) -> Functions:
    """Puts the position, and then all of it."""
    hear, put = muting(outbox)

    def put_twice(notification: dict[str, Any]) -> None:
        outbox.put({"position": notification["position"]})
        put(notification)

    return hear, put_twice


def another_method(outbox: Any) -> Functions:
    """Calls a method of a queue."""
    return muting(outbox)[0], outbox.put_nowait


def coroutine(outbox: Any) -> Functions:
    """Is asynchronous where nothing waits."""
    hear, now = muting(outbox)

    async def put(notification: dict[str, Any]) -> None:
        now(notification)

    return hear, put


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (muting, "passed: on this device only positions arrive of a muted kind"),
        (stub_muting, "still the stub"),
        (one_set_for_all, "one for each device"),
        (silent, "would ask for it again when it comes back"),
        (spoils_dict, "put has changed the dict"),
        (deaf_ears, "of a muted kind pass on only the position"),
        (only_one, "is 'chat' still muted after the others?"),
        (forgetful, "raised KeyError: 'chat'"),
        (one_function, "expected two functions: `return hear, put`"),
        (twice, "call `outbox.put` once"),
        (another_method, "raised AttributeError: 'Outbox' object has no attribute 'put_nowait' in the line `return"),
        (coroutine, "write it with `def` instead of `async def`"),
    ],
)
def test_mute(answer: Answer, said: str) -> None:
    """The verdict on muting too much or too little says what a device got and should have got."""
    assert said in verdict(check_mute, answer)
