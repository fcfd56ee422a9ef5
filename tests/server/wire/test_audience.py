"""An audience: which sink gets what, in which order, and in how many calls."""

from __future__ import annotations

import asyncio

import pytest

from server.wire.audience import Audience
from server.wire.prepared import Batch, Prepared

pytestmark = pytest.mark.anyio


class Recorder:
    """A sink that keeps what each call has sent it."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def send_nowait(self, message: Prepared) -> None:
        """Keep one."""
        self.calls.append([message.text])

    def send_many_nowait(self, batch: Batch) -> None:
        """Keep many."""
        assert batch.size == sum(message.size for message in batch.messages)
        self.calls.append([message.text for message in batch.messages])


@pytest.fixture
def sink() -> Recorder:
    """A member of the audience."""
    return Recorder()


@pytest.fixture
def audience(sink: Recorder) -> Audience[Recorder]:
    """An audience of one."""
    audience = Audience[Recorder]()
    audience.add(sink)
    return audience


@pytest.mark.parametrize("count", [1, 2, 50])
async def test_messages_of_one_pass_are_one_call(audience: Audience[Recorder], sink: Recorder, count: int) -> None:
    """Those of the next pass are the next call."""
    texts = [str(number) for number in range(count)]
    for _ in range(2):
        for text in texts:
            audience.send(Prepared(text))
        await asyncio.sleep(0)
    assert sink.calls == [texts, texts]


async def test_a_new_sink_gets_nothing_that_was_queued(audience: Audience[Recorder], sink: Recorder) -> None:
    """It gets everything that is sent from then on, once."""
    late = Recorder()
    audience.send(Prepared("before"))
    audience.add(late)
    audience.send(Prepared("after"))
    await asyncio.sleep(0)
    assert (late.calls, sink.calls) == ([["after"]], [["before"], ["after"]])


async def test_a_sink_that_leaves_gets_what_was_queued(audience: Audience[Recorder], sink: Recorder) -> None:
    """It gets nothing that is sent later."""
    audience.send(Prepared("before"))
    audience.discard(sink)
    audience.discard(sink)
    audience.send(Prepared("after"))
    await asyncio.sleep(0)
    assert sink.calls == [["before"]]
    assert len(audience) == 0


async def test_a_flush_sends_at_once_and_only_once(audience: Audience[Recorder], sink: Recorder) -> None:
    """For what must come after it, such as a signal."""
    audience.send(Prepared("one"))
    audience.flush()
    assert sink.calls == [["one"]]
    await asyncio.sleep(0)
    assert sink.calls == [["one"]]


async def test_an_audience_keeps_the_order_of_joining(sink: Recorder) -> None:
    """Joining again does not change it."""
    audience, other = Audience[Recorder](), Recorder()
    for one in (other, sink, other):
        audience.add(one)
    assert list(audience) == [other, sink]
    assert other in audience
