"""The keys of a topic are in one slot of a cluster, whatever its name."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from server.broker import Limits
from server.broker.valkey.topics import Topics


@given(topic=st.text(min_size=1, max_size=20) | st.text("{}%:", min_size=1, max_size=6))
def test_all_keys_of_a_topic_have_one_slot(topic: str) -> None:
    """Whatever the name: all keys are in one slot of a cluster, and different from another topic's."""
    topics = Topics(None, "", "chat", Limits(), 1.0)  # type: ignore[arg-type]
    keys = topics.keys(topic, "key:}{")
    assert len({key_slot(key.encode("utf-8", "surrogatepass")) for key in keys}) == 1
    for other in (f"{topic}%", f"{topic}}}"):
        assert not {*keys} & {*topics.keys(other, "key:}{")}


def test_topics_are_spread_over_the_slots() -> None:
    """The hash tag is the topic, not the prefix: a thousand topics are in nearly as many slots."""
    topics = Topics(None, "", "chat", Limits(), 1.0)  # type: ignore[arg-type]
    assert len({key_slot(topics.keys(f"topic {number}")[0].encode()) for number in range(1000)}) > 900
