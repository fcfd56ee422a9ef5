"""Every broker takes the same topics, keys and payloads, returns them as they were, and says why it refuses one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from server.broker import BrokerError, Limits, PayloadError
from tests.server.broker.conftest import Opening
from tests.server.broker.heard import Heard

REFUSED = {
    "empty payload": (("t", "", None), "the payload is empty"),
    "long payload": (("t", "x" * 11, None), "the payload has 11 bytes or more, the limit is 10"),
    "long payload in bytes": (("t", "é" * 6, None), "the payload has 12 bytes or more, the limit is 10"),
    "half a character": (("t", "a\ud83d", None), r"the payload has '\\ud83d' at 1"),
    "empty topic": (("", "x", None), "the topic is empty"),
    "long topic": (("t" * 201, "x", None), "has 201 characters"),
    "half a topic": (("\udc00", "x", None), r"the topic has '\\udc00' at 0"),
    "empty key": (("t", "x", ""), "the key is empty"),
    "long key": (("t", "x", "k" * 201), "has 201 characters"),
    "half a key": (("t", "x", "\udc00"), r"the key has '\\udc00' at 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_broker_takes_is_refused(opening: Opening, case: str) -> None:
    """Too long or empty, in bytes of UTF-8: a PayloadError with the value, and nothing is stored."""
    (topic, payload, key), message = REFUSED[case]

    async def run() -> None:
        async with opening(Limits(payload_bytes=10)) as broker:
            with pytest.raises(PayloadError, match=message):
                await broker.publish(topic, payload, key=key)
            if key is None:
                with pytest.raises(PayloadError, match=message):
                    await broker.signal(topic, payload)
            assert (await broker.history("t")).position.offset == 0

    asyncio.run(run())


@pytest.mark.parametrize("call", ["history", "subscribe", "drop"])
def test_bad_topic_is_refused_everywhere(opening: Opening, call: str) -> None:
    """No way to ask for a topic takes one that cannot be published to."""

    async def run() -> None:
        async with opening(Limits()) as broker:
            calls: dict[str, Callable[[], object]] = {
                "history": lambda: broker.history(""),
                "drop": lambda: broker.drop(""),
                "subscribe": lambda: broker.subscribe("", Heard()).__aenter__(),
            }
            with pytest.raises(PayloadError, match="the topic is empty"):
                await calls[call]()  # type: ignore[misc]  # each is a coroutine

    asyncio.run(run())


def test_longest_that_is_taken(opening: Opening) -> None:
    """A payload of exactly the limit in bytes, and topic and key of 200 characters, are taken."""

    async def run() -> None:
        async with opening(Limits(payload_bytes=10)) as broker:
            assert (await broker.publish("😀" * 200, "é" * 5, key="😀" * 200)).offset == 1

    asyncio.run(run())


def test_negative_limit_is_refused(opening: Opening) -> None:
    """A limit below 0 is a mistake of the caller, and not "everything"."""

    async def run() -> None:
        async with opening(Limits()) as broker:
            with pytest.raises(ValueError, match="limit must be 0 or more, got -1"):
                await broker.history("t", limit=-1)

    asyncio.run(run())


def test_closed_broker_refuses(opening: Opening) -> None:
    """After its block every call raises at once, and health is not ready: nobody waits for ever."""

    async def run() -> None:
        async with opening(Limits()) as broker:
            await broker.publish("t", "a")
        for call in (broker.publish("t", "b"), broker.signal("t", "b"), broker.history("t"), broker.drop("t")):
            with pytest.raises(BrokerError):
                await call
        with pytest.raises(BrokerError):
            await broker.subscribe("t", Heard()).__aenter__()
        assert not broker.health().ready

    asyncio.run(run())


@pytest.mark.parametrize(
    "payload", ["x", "é→😀", 'line\n"quoted" \\ \t', "nul\x00inside", " ", "{}", "0", "\u2028\ufeff"]
)
def test_text_comes_back_as_it_was(opening: Opening, payload: str) -> None:
    """Topic, payload and key are any text; nothing is escaped, trimmed or taken for a number."""

    async def run() -> None:
        async with opening(Limits()) as broker, broker.subscribe(payload, heard := Heard()):
            await broker.publish(payload, payload, key=payload)
            await broker.publish(payload, payload, key=payload)
            await heard.until(records=1)
            [stored] = (await broker.history(payload)).records
            assert heard.records == [stored]
            assert (stored.topic, stored.payload) == (payload, payload)

    asyncio.run(run())
