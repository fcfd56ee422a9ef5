"""The verdicts of lesson 05: the stub, the solution, and the answers that people really give."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from itertools import count
from typing import Any

import pytest
from fastapi.sse import ServerSentEvent
from lab.checks.notifications import check_receive, check_stream, check_tell_paid

from tests.lab.checks.verdicts import verdict

Check = Callable[[Any], object]
Answer = Callable[..., Any]


# exercise 1


def receive(phone: Any, message: dict[str, Any]) -> None:
    """The solution of exercise 1."""
    if message["type"] == "notification" and message["position"] > phone.position:
        phone.position = message["position"]
        phone.shown.append(message["text"])


def leaves_early(phone: Any, message: dict[str, Any]) -> None:
    """Another right one: it returns for what it leaves out."""
    if message["type"] != "notification":
        return
    if message["position"] <= phone.position:
        return
    phone.shown += [message["text"]]
    phone.position = message["position"]


def by_the_text(phone: Any, message: dict[str, Any]) -> None:
    """Another right one: it takes what has a text."""
    if "text" in message and phone.position < message["position"]:
        phone.position = max(phone.position, message["position"])
        phone.shown.append(message["text"])


def stub_receive(phone: Any, message: dict[str, Any]) -> None:
    """As the notebook has it."""
    raise NotImplementedError


def shows_all(phone: Any, message: dict[str, Any]) -> None:
    """Shows what comes again."""
    if message["type"] == "notification":
        phone.position = message["position"]
        phone.shown.append(message["text"])


def only_the_last(phone: Any, message: dict[str, Any]) -> None:
    """Knows the last position again, but no older one."""
    if message["type"] == "notification" and message["position"] != phone.position:
        phone.position = message["position"]
        phone.shown.append(message["text"])


def dies_of_a_mark(phone: Any, message: dict[str, Any]) -> None:
    """Takes everything for a notification."""
    if message["position"] >= phone.position:
        phone.shown.append(message["text"])


def dies_of_a_new_mark(phone: Any, message: dict[str, Any]) -> None:
    """Takes everything that is new for a notification."""
    if message["position"] > phone.position:
        phone.shown.append(message["text"])
        phone.position = message["position"]


def by_attribute(phone: Any, message: Any) -> None:
    """Takes the dict for an object."""
    if message.type == "notification" and message.position > phone.position:
        phone.shown.append(message.text)
        phone.position = message.position


def notes_marks(phone: Any, message: dict[str, Any]) -> None:
    """Notes the position of a read mark."""
    if message["position"] > phone.position:
        if "text" in message:
            phone.shown.append(message["text"])
        phone.position = message["position"]


def never_notes(phone: Any, message: dict[str, Any]) -> None:
    """Shows, and does not note."""
    if message["type"] == "notification" and message["position"] > phone.position:
        phone.shown.append(message["text"])


def never_shows(phone: Any, message: dict[str, Any]) -> None:
    """Notes, and does not show."""
    if message["type"] == "notification":
        phone.position = max(phone.position, message["position"])


def by_known_texts(phone: Any, message: dict[str, Any]) -> None:
    """Compares texts."""
    if message["type"] == "notification" and message["text"] not in phone.shown:
        phone.position = message["position"]
        phone.shown.append(message["text"])


def the_next_one(phone: Any, message: dict[str, Any]) -> None:
    """Waits for the position that follows."""
    if message["type"] == "notification" and message["position"] == phone.position + 1:
        phone.position = message["position"]
        phone.shown.append(message["text"])


def shows_dicts(phone: Any, message: dict[str, Any]) -> None:
    """Shows the whole message."""
    if message["type"] == "notification" and message["position"] > phone.position:
        phone.position = message["position"]
        phone.shown.append(message)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (receive, "passed: each notification is shown and noted once"),
        (leaves_early, "passed: each notification is shown and noted once"),
        (by_the_text, "passed: each notification is shown and noted once"),
        (stub_receive, "still the stub"),
        (shows_all, "that came twice"),
        (only_the_last, "an old one came again"),
        (dies_of_a_mark, "phone.position is 0, expected 1"),
        (dies_of_a_new_mark, "raised KeyError: 'text'"),
        (by_attribute, "raised AttributeError: 'dict' object has no attribute 'type'"),
        (notes_marks, "nothing to show, and nothing to note"),
        (never_notes, "phone.position is 0, expected 1"),
        (never_shows, "show what is new"),
        (by_known_texts, "it is new, although its text is known"),
        (the_next_one, "positions may have gaps"),
        (shows_dicts, "show what is new"),
    ],
)
def test_receive(answer: Answer, said: str) -> None:
    """The verdict on a phone says after which message it has shown or noted something else."""
    assert said in verdict(check_receive, answer)


# exercise 2


TryPush = Callable[[str, str], bool]


def tell_paid(try_push: TryPush, number: int) -> None:
    """The solution of exercise 2."""
    while not try_push("paid", f"{number} paid"):
        pass


def random_key(try_push: TryPush, number: int) -> None:
    """Another right one: a key that nobody else has, chosen once."""
    key = secrets.token_hex()
    accepted = False
    while not accepted:
        accepted = try_push("paid", key)


def returns_when_accepted(try_push: Any, number: int) -> bool:
    """Another right one: it ends the loop by itself, and names the arguments."""
    while True:
        if try_push(key=str(number), text="paid"):
            return True


def calls_itself(try_push: TryPush, number: int) -> None:
    """Another right one, without a loop."""
    if not try_push("paid", f"order {number}"):
        calls_itself(try_push, number)


def stub_tell_paid(try_push: TryPush, number: int) -> None:
    """As the notebook has it."""
    raise NotImplementedError


def pushes_once(try_push: TryPush, number: int) -> None:
    """Hopes for the best."""
    try_push("paid", f"{number} paid")


def gives_up(try_push: TryPush, number: int) -> None:
    """Tries three times."""
    for _ in range(3):
        if try_push("paid", f"{number} paid"):
            break


def new_key_each_time(try_push: TryPush, number: int) -> None:
    """Chooses the key inside of the loop."""
    while not try_push("paid", secrets.token_hex()):
        pass


def counts_in_the_key(try_push: TryPush, number: int) -> None:
    """Puts the number of the try into the key."""
    for attempt in count():
        if try_push("paid", f"{number} paid {attempt}"):
            break


def the_text_is_the_key(try_push: TryPush, number: int) -> None:
    """Has one key for all orders."""
    while not try_push("paid", "paid"):
        pass


def never_stops(try_push: TryPush, number: int) -> None:
    """Doesn't look at what is returned."""
    while True:
        try_push("paid", f"{number} paid")


def the_wrong_way_round(try_push: TryPush, number: int) -> None:
    """Goes on as long as it is accepted."""
    while try_push("paid", f"{number} paid"):
        pass


def exactly_twice(try_push: TryPush, number: int) -> None:
    """Pushes once more, to be sure."""
    tell_paid(try_push, number)
    try_push("paid", f"{number} paid")


def a_number_as_key(try_push: Any, number: int) -> None:
    """A key is a text."""
    while not try_push("paid", number):
        pass


def another_text(try_push: TryPush, number: int) -> None:
    """Tells Ana the key."""
    while not try_push(f"order {number} is paid", f"{number} paid"):
        pass


def without_a_key(try_push: Any, number: int) -> None:
    """Forgets the key."""
    while not try_push("paid"):
        pass


def nothing_pushed(try_push: TryPush, number: int) -> str:
    """Only makes the key."""
    return f"{number} paid"


async def waits(try_push: TryPush, number: int) -> None:
    """Is asynchronous where nothing waits."""
    tell_paid(try_push, number)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (tell_paid, "passed: each order is pushed until it's accepted"),
        (random_key, "passed: each order is pushed until it's accepted"),
        (returns_when_accepted, "passed: each order is pushed until it's accepted"),
        (calls_itself, "passed: each order is pushed until it's accepted"),
        (stub_tell_paid, "still the stub"),
        (pushes_once, "order 8 got no answer, and isn't pushed any more"),
        (gives_up, "order 10 got no answer, and isn't pushed any more"),
        (new_key_each_time, "choose the key once, before the first try"),
        (counts_in_the_key, "choose the key once, before the first try"),
        (the_text_is_the_key, "put the number into the key"),
        (never_stops, "stop when `try_push` returns True"),
        (the_wrong_way_round, "stop when `try_push` returns True"),
        (exactly_twice, "stop when `try_push` returns True"),
        (a_number_as_key, "order 7 was pushed with the key 7; a key is a text"),
        (another_text, "was pushed with the text 'order 7 is paid', expected 'paid'"),
        (without_a_key, "missing 1 required positional argument: 'key' in the line `while not"),
        (nothing_pushed, "order 7 was never pushed"),
        (waits, "write it with `def` instead of `async def`"),
    ],
)
def test_tell_paid(answer: Answer, said: str) -> None:
    """The verdict on a shop that loses an order, or tells it twice, says which one and why."""
    assert said in verdict(check_tell_paid, answer)


# exercise 3


async def stream(inbox: Any, last_event_id: int) -> AsyncIterator[ServerSentEvent]:
    """The solution of exercise 3."""
    news: asyncio.Queue[str] = asyncio.Queue()
    with inbox.watching(news.put_nowait, last_event_id):
        while True:
            message = json.loads(await news.get())
            if message["type"] == "notification":
                yield ServerSentEvent(raw_data=message["text"], id=str(message["position"]))


async def dies_of_a_mark_too(inbox: Any, last_event_id: int) -> AsyncIterator[ServerSentEvent]:
    """Takes every message for a notification."""
    news: asyncio.Queue[str] = asyncio.Queue()
    with inbox.watching(news.put_nowait, last_event_id):
        while True:
            message = json.loads(await news.get())
            yield ServerSentEvent(raw_data=message["text"], id=str(message["position"]))


async def sends_marks(inbox: Any, last_event_id: int) -> AsyncIterator[ServerSentEvent]:
    """Makes an event of a read mark."""
    news: asyncio.Queue[str] = asyncio.Queue()
    with inbox.watching(news.put_nowait, last_event_id):
        while True:
            message = json.loads(await news.get())
            yield ServerSentEvent(raw_data=message.get("text", ""), id=str(message["position"]))


async def stub_stream(inbox: Any, last_event_id: int) -> AsyncIterator[ServerSentEvent]:
    """As the notebook has it."""
    async for _ in stream(inbox, last_event_id):
        yield ServerSentEvent(raw_data="?", id="0")


async def raising_stub(inbox: Any, last_event_id: int) -> AsyncIterator[ServerSentEvent]:
    """As an older copy of the notebook has it."""
    raise NotImplementedError
    yield


async def mark_without_a_look(inbox: Any, last_event_id: int) -> AsyncIterator[ServerSentEvent]:
    """Changes only what is passed, in the notebook's last line, and forgets `str`."""
    news: asyncio.Queue[str] = asyncio.Queue()
    with inbox.watching(news.put_nowait, last_event_id):
        while True:
            message = json.loads(await news.get())
            yield ServerSentEvent(raw_data=message["text"], id=message["position"])


async def a_coroutine(inbox: Any, last_event_id: int) -> list[str]:
    """No generator."""
    return list(inbox.texts)


async def only_history(inbox: Any, last_event_id: int) -> AsyncIterator[ServerSentEvent]:
    """Ends when everything is said."""
    for position, text in enumerate(inbox.texts[last_event_id:], last_event_id + 1):
        yield ServerSentEvent(raw_data=text, id=str(position))


async def only_news(inbox: Any, last_event_id: int) -> AsyncIterator[ServerSentEvent]:
    """Leaves out what was there."""
    async for event in stream(inbox, len(inbox.texts)):
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
    inbox.devices.append(news.put_nowait)
    while True:
        message = json.loads(await news.get())
        if message["type"] == "notification":
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


async def another_name(inbox: Any, last_event_id: int) -> AsyncIterator[ServerSentEvent]:
    """Calls a method that the inbox does not have."""
    with inbox.watch(print, last_event_id):
        yield ServerSentEvent(raw_data="")


async def doubles(inbox: Any, last_event_id: int) -> AsyncIterator[ServerSentEvent]:
    """Says each twice."""
    async for event in stream(inbox, last_event_id):
        yield event
        yield event


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (stream, "passed: missed and new notifications come with ids"),
        (stub_stream, "the first event has id '0' and data '?', expected id '1' and data 'paid'"),
        (raising_stub, "still the stub"),
        (mark_without_a_look, "stream raised ValidationError"),
        (a_coroutine, "stream is not an async generator"),
        (dies_of_a_mark_too, "raised KeyError: 'text'"),
        (dies_of_a_mark_too, "when a read mark came"),
        (sends_marks, "a read mark has no text, and is no event"),
        (only_history, "the stream ended"),
        (only_news, "send first what the inbox has already"),
        (from_the_start, "start after `last_event_id`"),
        (without_ids, "without an id the browser can't resume"),
        (number_ids, "stream raised ValidationError"),
        (quoted, "pass the text as `raw_data`"),
        (unread_json, "the queue holds JSON"),
        (stays, "the inbox still puts into its queue"),
        (blocks, "stream blocks the server's loop"),
        (deaf, "watch with a `put` that wakes your loop"),
        (another_name, "stream raised AttributeError: 'Inbox' object has no attribute 'watch' in the line `with inbox"),
        (doubles, "send each notification once"),
    ],
)
def test_stream(answer: Answer, said: str) -> None:
    """The verdict on a wrong stream says what its client saw, or what was left behind."""
    assert said in verdict(check_stream, answer)
