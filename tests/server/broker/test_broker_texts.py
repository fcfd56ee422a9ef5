"""Every broker accepts the same topics, keys and payloads, returns them unchanged, and says why it refuses one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from server.broker import BrokerError, Limits, PayloadError
from tests.server.broker.conftest import MakeBroker
from tests.server.broker.recorder import Recorder

pytestmark = pytest.mark.anyio

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
async def test_bad_payload_topic_or_key_is_refused(make_broker: MakeBroker, case: str) -> None:
    """Too long or empty, in bytes of UTF-8: a PayloadError with the value, and nothing is stored."""
    (topic, payload, key), message = REFUSED[case]
    async with make_broker(Limits(payload_bytes=10)) as broker:
        with pytest.raises(PayloadError, match=message):
            await broker.publish(topic, payload, key=key)
        if key is None:
            with pytest.raises(PayloadError, match=message):
                await broker.signal(topic, payload)
        assert (await broker.history("t")).position.offset == 0


@pytest.mark.parametrize("call", ["history", "subscribe", "drop"])
async def test_bad_topic_is_refused_everywhere(make_broker: MakeBroker, call: str) -> None:
    """Every method refuses a topic that publish refuses."""
    async with make_broker(Limits()) as broker:
        calls: dict[str, Callable[[], object]] = {
            "history": lambda: broker.history(""),
            "drop": lambda: broker.drop(""),
            "subscribe": lambda: broker.subscribe("", Recorder()).__aenter__(),
        }
        with pytest.raises(PayloadError, match="the topic is empty"):
            await calls[call]()  # type: ignore[misc]  # each is a coroutine


async def test_longest_names_and_payload_are_accepted(make_broker: MakeBroker) -> None:
    """A payload of exactly the limit in bytes, and a topic and a key of 200 characters, are accepted."""
    async with make_broker(Limits(payload_bytes=10)) as broker:
        assert (await broker.publish("😀" * 200, "é" * 5, key="😀" * 200)).offset == 1


async def test_negative_limit_is_refused(make_broker: MakeBroker) -> None:
    """A limit below 0 is a mistake; it doesn't mean "everything"."""
    async with make_broker(Limits()) as broker:
        with pytest.raises(ValueError, match="limit must be 0 or more, got -1"):
            await broker.history("t", limit=-1)


async def test_closed_broker_refuses(make_broker: MakeBroker) -> None:
    """After its block every call raises at once, and health isn't ready: no call waits for ever."""
    async with make_broker(Limits()) as broker:
        await broker.publish("t", "a")
    for call in (broker.publish("t", "b"), broker.signal("t", "b"), broker.history("t"), broker.drop("t")):
        with pytest.raises(BrokerError):
            await call
    with pytest.raises(BrokerError):
        await broker.subscribe("t", Recorder()).__aenter__()
    assert not broker.health().ready


@pytest.mark.parametrize(
    "payload", ["x", "é→😀", 'line\n"quoted" \\ \t', "nul\x00inside", " ", "{}", "0", "\u2028\ufeff"]
)
async def test_text_comes_back_unchanged(make_broker: MakeBroker, payload: str) -> None:
    """Topic, payload and key can be any text; nothing is escaped, trimmed or converted to a number."""
    async with make_broker(Limits()) as broker, broker.subscribe(payload, received := Recorder()):
        await broker.publish(payload, payload, key=payload)
        await broker.publish(payload, payload, key=payload)
        await received.until(records=1)
        [stored] = (await broker.history(payload)).records
        assert received.records == [stored]
        assert (stored.topic, stored.payload) == (payload, payload)
