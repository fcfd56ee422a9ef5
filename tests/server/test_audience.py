"""An audience: who gets what, in which order, and at how many calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from server.audience import Audience
from server.prepared import Batch, Prepared


class Ear:
    """A receiver that keeps what it is handed, call by call."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def deliver(self, message: Prepared) -> None:
        """Take one."""
        self.calls.append([message.text])

    def deliver_all(self, batch: Batch) -> None:
        """Take many."""
        assert batch.size == sum(message.size for message in batch.messages)
        self.calls.append([message.text for message in batch.messages])


def run(test: Callable[[Audience[Ear], Ear], Awaitable[None]]) -> None:
    """Run a test with an audience of one."""

    async def main() -> None:
        audience, ear = Audience[Ear](), Ear()
        audience.add(ear)
        await test(audience, ear)

    asyncio.run(main())


@pytest.mark.parametrize("count", [1, 2, 50])
def test_what_is_said_in_one_pass_is_one_call(count: int) -> None:
    """And what is said in the next is the next."""

    async def test(audience: Audience[Ear], ear: Ear) -> None:
        texts = [str(number) for number in range(count)]
        for _ in range(2):
            for text in texts:
                audience.send(Prepared(text))
            await asyncio.sleep(0)
        assert ear.calls == [texts, texts]

    run(test)


def test_who_comes_gets_nothing_that_was_due() -> None:
    """It has had that by another way, or not at all; and gets everything that is said from then on, once."""

    async def test(audience: Audience[Ear], ear: Ear) -> None:
        late = Ear()
        audience.send(Prepared("before"))
        audience.add(late)
        audience.send(Prepared("after"))
        await asyncio.sleep(0)
        assert (late.calls, ear.calls) == ([["after"]], [["before"], ["after"]])

    run(test)


def test_who_goes_gets_what_was_due() -> None:
    """And nothing that is said later."""

    async def test(audience: Audience[Ear], ear: Ear) -> None:
        audience.send(Prepared("before"))
        audience.discard(ear)
        audience.discard(ear)
        audience.send(Prepared("after"))
        await asyncio.sleep(0)
        assert ear.calls == [["before"]]
        assert len(audience) == 0

    run(test)


def test_a_flush_hands_on_at_once_and_nothing_comes_twice() -> None:
    """For what must come after it, such as a signal."""

    async def test(audience: Audience[Ear], ear: Ear) -> None:
        audience.send(Prepared("one"))
        audience.flush()
        assert ear.calls == [["one"]]
        await asyncio.sleep(0)
        assert ear.calls == [["one"]]

    run(test)


def test_an_audience_is_in_the_order_of_coming() -> None:
    """Coming again does not change the place."""

    async def test(audience: Audience[Ear], ear: Ear) -> None:
        other = Ear()
        audience.add(other)
        audience.add(ear)
        assert list(audience) == [ear, other]
        assert other in audience

    run(test)
