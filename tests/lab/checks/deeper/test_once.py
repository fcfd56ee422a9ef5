"""Verdicts on the exercises of deeper/race and deeper/engine: the stub, the solutions, and what people really give."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from lab.checks.broadcasting import check_joined, check_publish_once

from tests.lab.checks.verdicts import verdict

Answer = Callable[..., Any]
Write = Callable[[bytes], None]


# deeper/race


def joined(write: Write) -> Write:
    """The solution."""
    waiting: list[bytes] = []

    def write_all() -> None:
        write(b"".join(waiting))
        waiting.clear()

    def send(frame: bytes) -> None:
        if not waiting:
            asyncio.get_running_loop().call_soon(write_all)
        waiting.append(frame)

    return send


def with_a_task(write: Write) -> Write:
    """The same with a task for each turn."""
    waiting: deque[bytes] = deque()

    async def write_all() -> None:
        write(b"".join(waiting))
        waiting.clear()

    tasks: list[asyncio.Task[None]] = []

    def send(frame: bytes) -> None:
        waiting.append(frame)
        if len(waiting) == 1:
            tasks.append(asyncio.create_task(write_all()))

    return send


class _Joined:
    def __init__(self, write: Write) -> None:
        self.write = write
        self.data = bytearray()

    def __call__(self, frame: bytes) -> None:
        self.data += frame
        asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        if self.data:
            self.write(bytes(self.data))
            self.data.clear()


def with_an_object(write: Write) -> Write:
    """The same, which looks whether there is something to write."""
    return _Joined(write)


@pytest.mark.parametrize("answer", [joined, with_a_task, with_an_object])
def test_frames_that_are_joined_pass(answer: Answer) -> None:
    """The solution passes, and so do other ways to do it."""
    passed = "passed: whatever is sent in one turn of the event loop is written at once, in its order"
    assert verdict(check_joined, answer) == passed


def joined_stub(write: Write) -> Write:
    """The answer cell as it is."""

    def send(frame: bytes) -> None:
        raise NotImplementedError

    return send


def writes_at_once(write: Write) -> Write:
    """Joins nothing."""
    return write


def never_writes(write: Write) -> Write:
    """Only collects."""
    return list[bytes]().append


def each_later(write: Write) -> Write:
    """A write for each frame, in the next turn."""
    return lambda frame: asyncio.get_running_loop().call_soon(write, frame)  # type: ignore[return-value]


def never_forgets(write: Write) -> Write:
    """What is written waits on."""
    waiting: list[bytes] = []

    def write_all() -> None:
        write(b"".join(waiting))

    def send(frame: bytes) -> None:
        waiting.append(frame)
        if len(waiting) in (1, 4):
            asyncio.get_running_loop().call_soon(write_all)

    return send


def writes_empty(write: Write) -> Write:
    """Every frame asks for a turn."""
    waiting: list[bytes] = []

    def write_all() -> None:
        write(b"".join(waiting))
        waiting.clear()

    def send(frame: bytes) -> None:
        waiting.append(frame)
        asyncio.get_running_loop().call_soon(write_all)

    return send


def only_the_first_turn(write: Write) -> Write:
    """A flag that is never taken back."""
    waiting: list[bytes] = []
    asked: list[bool] = []

    def write_all() -> None:
        write(b"".join(waiting))
        waiting.clear()

    def send(frame: bytes) -> None:
        waiting.append(frame)
        if not asked:
            asked.append(True)
            asyncio.get_running_loop().call_soon(write_all)

    return send


def backwards(write: Write) -> Write:
    """The newest first."""
    waiting: list[bytes] = []

    def write_all() -> None:
        write(b"".join(reversed(waiting)))
        waiting.clear()

    def send(frame: bytes) -> None:
        if not waiting:
            asyncio.get_running_loop().call_soon(write_all)
        waiting.append(frame)

    return send


_everybodys: list[bytes] = []
_writes: list[Write] = []


def one_list_for_all(write: Write) -> Write:
    """Ben's frames go to the first who asked."""
    _writes.append(write)

    def write_all() -> None:
        _writes[0](b"".join(_everybodys))
        _everybodys.clear()

    def send(frame: bytes) -> None:
        if not _everybodys:
            asyncio.get_running_loop().call_soon(write_all)
        _everybodys.append(frame)

    return send


def hands_over_the_list(write: Any) -> Write:
    """Joins nothing."""
    waiting: list[bytes] = []

    def send(frame: bytes) -> None:
        waiting.append(frame)
        asyncio.get_running_loop().call_soon(write, waiting)

    return send


def joins_texts(write: Write) -> Write:
    """An error in a callback."""
    waiting: list[Any] = []

    def write_all() -> None:
        write("".join(waiting))  # type: ignore[arg-type]

    def send(frame: bytes) -> None:
        waiting.append(frame)
        asyncio.get_running_loop().call_soon(write_all)

    return send


def waits_a_while(write: Write) -> Write:
    """A tenth of a second is for ever."""
    waiting: list[bytes] = []

    def write_all() -> None:
        write(b"".join(waiting))
        waiting.clear()

    def send(frame: bytes) -> None:
        if not waiting:
            asyncio.get_running_loop().call_later(0.1, write_all)
        waiting.append(frame)

    return send


def send_async(write: Write) -> Answer:
    """Nobody awaits it."""

    async def send(frame: bytes) -> None:
        write(frame)

    return send


def forgets_to_return(write: Write) -> None:
    """Keeps it."""
    joined(write)


WRONG_JOINED = [
    (joined_stub, "joined_stub is still the stub"),
    (writes_at_once, "and write was called at once; wait for the next turn with `call_soon`"),
    (never_writes, "write got nothing, expected b'one two three '; ask for the next turn with `call_soon`"),
    (each_later, "write got b'one ', then b'two ', then b'three ', expected b'one two three '; join the frames"),
    (never_forgets, "write got b'one two three four ', expected b'four '; forget the frames that are written"),
    (writes_empty, "b'', then b'', expected b'one two three '; only the first frame that waits calls `call_soon`"),
    (only_the_first_turn, "send was called with b'four ': write got nothing, expected b'four '; ask for the next"),
    (backwards, "write got b'three two one ', expected b'one two three '; each frame once, in the order"),
    (one_list_for_all, "and ben's nothing, when send was called for ben; make the list inside `joined`"),
    (hands_over_the_list, "`write` takes bytes, and got [b'one '"),
    (joins_texts, 'found in the line `write("".join(waiting))'),
    (waits_a_while, "write got nothing, expected b'one two three '"),
    (send_async, "send is a coroutine; write it with `def`"),
    (forgets_to_return, "joined returned None, expected a function"),
    (None, "expected a function"),
]


@pytest.mark.parametrize(("answer", "help_"), WRONG_JOINED)
def test_frames_that_are_not_joined_get_a_verdict_that_helps(answer: Answer, help_: str) -> None:
    """The verdict on each typical mistake names the first turn whose write is wrong."""
    _everybodys.clear()
    _writes.clear()
    said = verdict(check_joined, answer)
    assert said.startswith("not yet: ")
    assert help_ in said


# deeper/engine


async def publish_once(publish: Answer, text: str) -> Any:
    """The solution."""
    key = secrets.token_hex(8)
    for _ in range(4):
        try:
            return await publish(text, key)
        except ConnectionError:
            await asyncio.sleep(0.1)
    return await publish(text, key)


async def with_a_counter(publish: Answer, text: str) -> Any:
    """The same with a loop that counts, and waits longer each time."""
    key = object()
    tries = 0
    while True:
        try:
            return await publish(text, key)
        except ConnectionError:
            tries += 1
            if tries == 5:
                raise
        await asyncio.sleep(0.1 * 2**tries)


_numbers = iter(range(1_000))


async def again_and_again(publish: Answer, text: str, key: str = "", left: int = 4) -> Any:
    """The same, which calls itself."""
    key = key or f"ana {next(_numbers)}"
    try:
        return await publish(text, key)
    except (ConnectionResetError, ConnectionError):
        if not left:
            raise
    await asyncio.sleep(1)
    return await again_and_again(publish, text, key, left - 1)


@pytest.mark.parametrize("answer", [publish_once, with_a_counter, again_and_again])
def test_a_message_that_is_stored_once_passes(answer: Answer) -> None:
    """The solution passes, and so do other ways to do it."""
    passed = "passed: each message is stored once, however often an answer is lost, and a dead engine ends the tries"
    assert verdict(check_publish_once, answer) == passed


async def publish_stub(publish: Answer, text: str) -> Any:
    """The answer cell as it is."""
    raise NotImplementedError


async def tries_once(publish: Answer, text: str) -> Any:
    """Gives up."""
    return await publish(text, secrets.token_hex(8))


async def new_key_each_time(publish: Answer, text: str) -> Any:
    """Stored twice."""
    for _ in range(5):
        try:
            return await publish(text, secrets.token_hex(8))
        except ConnectionError:
            await asyncio.sleep(0.1)
    raise ConnectionError


async def the_text_is_the_key(publish: Answer, text: str) -> Any:
    """A second hello is no repetition."""
    for _ in range(5):
        try:
            return await publish(text, text)
        except ConnectionError:
            await asyncio.sleep(0.1)
    raise ConnectionError


async def for_ever(publish: Answer, text: str) -> Any:
    """Never gives up."""
    key = secrets.token_hex(8)
    while True:
        try:
            return await publish(text, key)
        except ConnectionError:
            await asyncio.sleep(0.1)


async def catches_everything(publish: Answer, text: str) -> Any:
    """A text that is too long stays too long."""
    key = secrets.token_hex(8)
    for _ in range(4):
        try:
            return await publish(text, key)
        except Exception:
            await asyncio.sleep(0.1)
    return await publish(text, key)


async def hides_the_end(publish: Answer, text: str) -> Any:
    """Nobody learns that it failed."""
    key = secrets.token_hex(8)
    for _ in range(5):
        try:
            return await publish(text, key)
        except ConnectionError:
            await asyncio.sleep(0.1)
    return None


async def at_once(publish: Answer, text: str) -> Any:
    """Has no patience."""
    key = secrets.token_hex(8)
    for _ in range(4):
        try:
            return await publish(text, key)
        except ConnectionError:
            pass
    return await publish(text, key)


async def three_tries(publish: Answer, text: str) -> Any:
    """Too few."""
    key = secrets.token_hex(8)
    for _ in range(3):
        try:
            return await publish(text, key)
        except ConnectionError:
            await asyncio.sleep(0.1)
    raise ConnectionError


async def six_tries(publish: Answer, text: str) -> Any:
    """One more at the end."""
    key = secrets.token_hex(8)
    for _ in range(5):
        try:
            return await publish(text, key)
        except ConnectionError:
            await asyncio.sleep(0.1)
    return await publish(text, key)


async def returns_nothing(publish: Answer, text: str) -> None:
    """Forgets the offset."""
    await publish_once(publish, text)


async def no_key(publish: Answer, text: str) -> Any:
    """As before."""
    return await publish(text)


async def none_as_key(publish: Answer, text: str) -> Any:
    """As before, with a word for it."""
    return await publish(text, None)


def written_def(publish: Answer, text: str) -> str:
    """No coroutine."""
    return text


WRONG_PUBLISH = [
    (publish_stub, "publish_stub is still the stub"),
    (tries_once, "raised ConnectionError: the engine is away in the line `return await publish(text, secrets"),
    (new_key_each_time, "message number 2, 'hello', was stored 3 times; use the same key when you try again"),
    (
        the_text_is_the_key,
        "message number 2, 'hello', wasn't stored; its text was published before",
    ),
    (for_ever, "the engine stays away, and was asked 20 times; try 5 times at most"),
    (catches_everything, "with a ValueError, and it was asked 5 times; trying again doesn't help"),
    (hides_the_end, "the engine stays away, and publish_once returned None, expected ConnectionError to be raised"),
    (at_once, "the engine was asked again at once; wait a little"),
    (three_tries, "raised ConnectionError"),
    (six_tries, "the engine stays away, and it was asked 6 times; try 5 times"),
    (returns_nothing, "publish_once returned None for 'hello', expected its offset, 1"),
    (no_key, "raised TypeError"),
    (none_as_key, "publish got None as its key"),
    (written_def, "publish_once returned 'hello' without waiting; write it with `async def`"),
    (None, "expected a function"),
]


@pytest.mark.parametrize(("answer", "help_"), WRONG_PUBLISH)
def test_a_message_that_is_not_stored_once_gets_a_verdict_that_helps(answer: Answer, help_: str) -> None:
    """The verdict on each typical mistake says which message is stored twice, or not at all."""
    said = verdict(check_publish_once, answer)
    assert said.startswith("not yet: ")
    assert help_ in said
