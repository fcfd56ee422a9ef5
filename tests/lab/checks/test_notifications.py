"""The verdicts of lesson 05: the stub, the solution, and the answers that people really give."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from fastapi.sse import ServerSentEvent
from lab.checks.notifications import check_digest, check_mute, check_stream

from tests.lab.checks.verdicts import verdict

Check = Callable[[Any], object]
Answer = Callable[..., Any]


# exercise 1


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


def coroutine(outbox: Any) -> Functions:
    """Is asynchronous where nothing waits."""
    hear, now = muting(outbox)

    async def put(notification: dict[str, Any]) -> None:
        now(notification)

    return hear, put


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (muting, "passed: a muted kind is quiet on this device only"),
        (stub_muting, "still the stub"),
        (one_set_for_all, "one for each device"),
        (silent, "would ask for it again when it comes back"),
        (spoils_dict, "put has changed the dict"),
        (deaf_ears, "of a muted kind only the position"),
        (only_one, "is 'chat' still muted after the others?"),
        (forgetful, "raised KeyError: 'chat'"),
        (one_function, "expected two functions: `return hear, put`"),
        (twice, "call `outbox.put` once"),
        (coroutine, "write it with `def` instead of `async def`"),
    ],
)
def test_mute(answer: Answer, said: str) -> None:
    """Each way to mute too much or too little is told as what a device got and should have got."""
    assert said in verdict(check_mute, answer)


# exercise 2

Notification = dict[str, Any]


def digest(missed: list[Notification], read: int, away: float) -> list[Notification]:
    """The solution of exercise 2."""
    unread = [one for one in missed if one["position"] > read]
    kinds = Counter(one["kind"] for one in unread).items()
    text = ", ".join(f"{number} {kind}" for kind, number in kinds)
    return [{"position": unread[-1]["position"], "text": text}] if unread and away >= 3600 else unread


def stub_digest(missed: list[Notification], read: int, away: float) -> list[Notification]:
    """As the notebook has it."""
    raise NotImplementedError


def counts_read(missed: list[Notification], read: int, away: float) -> list[Notification]:
    """Forgets the read mark."""
    return digest(missed, 0, away)


def late(missed: list[Notification], read: int, away: float) -> list[Notification]:
    """An hour is not enough."""
    return digest(missed, read, away if away > 3600 else 0)


def never(missed: list[Notification], read: int, away: float) -> list[Notification]:
    """Never digests."""
    return digest(missed, read, 0)


def bare(missed: list[Notification], read: int, away: float) -> Any:
    """Returns the dict itself."""
    found = digest(missed, read, away)
    return found[0] if len(found) == 1 else found


def falls(missed: list[Notification], read: int, away: float) -> list[Notification]:
    """Takes the last of nothing."""
    if away < 3600:
        return digest(missed, read, away)
    position = [one for one in missed if one["position"] > read][-1]["position"]
    return [digest(missed, read, away)[0] | {"position": position}]


def first_position(missed: list[Notification], read: int, away: float) -> list[Notification]:
    """Goes on after the first."""
    found = digest(missed, read, away)
    return [one | {"position": missed[0]["position"]} for one in found] if away >= 3600 else found


def sorted_kinds(missed: list[Notification], read: int, away: float) -> list[Notification]:
    """Sorts by the alphabet."""
    if away < 3600:
        return digest(missed, read, away)
    return digest(sorted(missed, key=lambda one: one["kind"]), read, away)


def nothing(missed: list[Notification], read: int, away: float) -> None:
    """Returns nothing."""
    digest(missed, read, away)


def spoils(missed: list[Notification], read: int, away: float) -> list[Notification]:
    """Takes what is read out of the caller's list."""
    missed[:] = [one for one in missed if one["position"] > read]
    return digest(missed, read, away)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (digest, "passed: what is read is left out"),
        (stub_digest, "still the stub"),
        (counts_read, "under an hour each that is unread comes as it is"),
        (late, "an hour is 3,600 seconds"),
        (never, "an hour is 3,600 seconds"),
        (bare, "return a list, also for one or none"),
        (falls, "raised IndexError"),
        (first_position, "the position is that of the last"),
        (sorted_kinds, "in the order in which the kinds came"),
        (nothing, "does the function `return` it?"),
        (spoils, "has changed the list that it was given"),
    ],
)
def test_digest(answer: Answer, said: str) -> None:
    """Each wrong digest is told with what was missed, read, and for how long the device was away."""
    assert said in verdict(check_digest, answer)


# exercise 3


async def stream(inbox: Any, last_event_id: int) -> AsyncIterator[ServerSentEvent]:
    """The solution of exercise 3."""
    news: asyncio.Queue[str] = asyncio.Queue()
    with inbox.watching(news.put_nowait, last_event_id):
        while True:
            message = json.loads(await news.get())
            yield ServerSentEvent(raw_data=message["text"], id=str(message["position"]))


async def stub_stream(inbox: Any, last_event_id: int) -> AsyncIterator[ServerSentEvent]:
    """As the notebook has it."""
    raise NotImplementedError
    yield


async def a_coroutine(inbox: Any, last_event_id: int) -> list[str]:
    """No generator."""
    return list(inbox.log)


async def only_history(inbox: Any, last_event_id: int) -> AsyncIterator[ServerSentEvent]:
    """Ends when everything is said."""
    for position, text in enumerate(inbox.log[last_event_id:], last_event_id + 1):
        yield ServerSentEvent(raw_data=text, id=str(position))


async def only_news(inbox: Any, last_event_id: int) -> AsyncIterator[ServerSentEvent]:
    """Leaves out what was there."""
    async for event in stream(inbox, len(inbox.log)):
        yield event


async def from_the_start(inbox: Any, last_event_id: int) -> AsyncIterator[ServerSentEvent]:
    """Never resumes."""
    async for event in stream(inbox, 0):
        yield event


async def without_ids(inbox: Any, last_event_id: int) -> AsyncIterator[ServerSentEvent]:
    """Nobody could resume."""
    async for event in stream(inbox, last_event_id):
        yield ServerSentEvent(raw_data=event.raw_data)


async def number_ids(inbox: Any, last_event_id: int) -> AsyncIterator[ServerSentEvent]:
    """An id is text."""
    async for event in stream(inbox, last_event_id):
        yield ServerSentEvent(raw_data=event.raw_data, id=int(event.id or 0))  # type: ignore[arg-type]


async def quoted(inbox: Any, last_event_id: int) -> AsyncIterator[ServerSentEvent]:
    """Data instead of raw data."""
    async for event in stream(inbox, last_event_id):
        yield ServerSentEvent(data=event.raw_data, id=event.id)


async def unread_json(inbox: Any, last_event_id: int) -> AsyncIterator[ServerSentEvent]:
    """Passes on what comes out of the queue."""
    async for event in stream(inbox, last_event_id):
        yield ServerSentEvent(raw_data=json.dumps({"position": 1, "text": event.raw_data}), id=event.id)


async def stays(inbox: Any, last_event_id: int) -> AsyncIterator[ServerSentEvent]:
    """Registers by hand and never goes."""
    news: asyncio.Queue[str] = asyncio.Queue()
    with inbox.watching(news.put_nowait, last_event_id):
        pass
    inbox.devices.add(news.put_nowait)
    while True:
        message = json.loads(await news.get())
        yield ServerSentEvent(raw_data=message["text"], id=str(message["position"]))


async def blocks(inbox: Any, last_event_id: int) -> AsyncIterator[ServerSentEvent]:
    """Waits without giving way."""
    async for event in stream(inbox, last_event_id):
        yield event
        if event.id == "2":
            time.sleep(3)  # noqa: ASYNC251  # that is the mistake


async def deaf(inbox: Any, last_event_id: int) -> AsyncIterator[ServerSentEvent]:
    """Waits for something else."""
    async for event in only_history(inbox, last_event_id):
        yield event
    await asyncio.sleep(60)


async def doubles(inbox: Any, last_event_id: int) -> AsyncIterator[ServerSentEvent]:
    """Says each twice."""
    async for event in stream(inbox, last_event_id):
        yield event
        yield event


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (stream, "passed: what was missed comes, then what is pushed"),
        (stub_stream, "still the stub"),
        (a_coroutine, "stream is no async generator"),
        (only_history, "the stream ended"),
        (only_news, "first of all comes what the inbox has already"),
        (from_the_start, "begin after `last_event_id`"),
        (without_ids, "without an id the browser cannot resume"),
        (number_ids, "stream raised ValidationError"),
        (quoted, "hand over the text as `raw_data`"),
        (unread_json, "comes out of the queue is JSON"),
        (stays, "the inbox still tells its queue"),
        (blocks, "stream blocks the server's loop"),
        (deaf, "watch with a `put` that wakes your loop"),
        (doubles, "each notification once"),
    ],
)
def test_stream(answer: Answer, said: str) -> None:
    """Each wrong stream is told by what its client saw, or by what was left behind."""
    assert said in verdict(check_stream, answer)
