"""The outbox: bounded, in order, and nobody who fills it ever waits for the peer."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from fastapi import FastAPI, WebSocket, WebSocketException
from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode
from websockets.sync.client import ClientConnection, connect

from server import BackgroundServer, serve
from server.echo import Conversation, Ended, converse
from server.messages import CloseCode, Message
from server.outbox import AHEAD, Outbox
from tests.server.people import DEADLINE, Person, Silent, chat

REPLACED = (CloseCode.REPLACED, "another device")
NOBODY: Any = None  # a conversation that is not looked at, because nothing is sent


class Order(Message):
    """What a client of these tests asks for: so many messages at once, of so many bytes."""

    type: Literal["order"] = "order"
    count: int
    size: int = 1


@dataclass
class Shop:
    """A server whose clients order messages, which are put into their own outbox."""

    outbox: Callable[[], Outbox] = Outbox
    then: Callable[[Outbox], object] = len
    """What is done with the outbox after each order, in the same turn of the loop."""
    outboxes: queue.Queue[Outbox] = field(default_factory=queue.Queue)
    ended: queue.Queue[Ended] = field(default_factory=queue.Queue)

    @contextmanager
    def open(self) -> Iterator[BackgroundServer]:
        """Serve it on ``/ws``."""
        app = FastAPI()
        app.websocket("/ws")(self._handler)
        with serve(app) as server:
            yield server

    async def _handler(self, websocket: WebSocket) -> None:
        outbox = self.outbox()
        self.outboxes.put(outbox)

        async def take(talk: Conversation, order: Order) -> None:
            for number in range(order.count):
                outbox.put(str(number).ljust(order.size))
            self.then(outbox)

        self.ended.put(await converse(websocket, take, model=Order, writer=outbox.write))


def order(client: ClientConnection, count: int, size: int = 1) -> None:
    """Order messages."""
    client.send(Order(count=count, size=size).encode())


def goodbye(outbox: Outbox) -> tuple[int, str]:
    """With what an outbox ends its connection."""
    with pytest.raises(WebSocketException) as ended:
        asyncio.run(outbox.write(NOBODY))
    return ended.value.code, ended.value.reason


def test_messages_arrive_in_the_order_of_putting() -> None:
    """What is put is sent, once and in order, and nothing waits afterwards."""
    shop = Shop()
    with shop.open() as server, connect(server.url("/ws"), proxy=None) as client:
        order(client, 1_000)
        assert [int(client.recv(timeout=DEADLINE)) for _ in range(1_000)] == list(range(1_000))
        assert len(shop.outboxes.get(timeout=DEADLINE)) == 0


def test_a_burst_is_not_held_against_a_peer_that_keeps_up() -> None:
    """More messages than the outbox holds, put in one turn of the loop, are sent when the writer has its turn."""
    shop = Shop(lambda: Outbox(messages=10, size=1_000))
    with shop.open() as server, connect(server.url("/ws"), proxy=None) as client:
        for _ in range(20):
            order(client, 10 * AHEAD, size=6)
            assert [int(client.recv(timeout=DEADLINE)) for _ in range(10 * AHEAD)] == list(range(10 * AHEAD))


def test_many_who_talk_at_once_do_not_close_each_other() -> None:
    """Ten people who all say fifty things at once, and all read, hear all five hundred."""
    with chat(message_burst=100) as room:
        people = [Person(room.server, f"p{number}") for number in range(10)]
        for number in range(50):
            for person in people:
                person.say("hello", id=number)
        for person in people:
            assert [person.hear("message")["id"] for _ in range(500)].count(49) == 10
            person.socket.close()


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (["x"] * (3 * AHEAD + 1), f"{3 * AHEAD + 1} messages of {3 * AHEAD + 1} bytes wait; read faster"),
        (["x" * 100 * AHEAD, "y"], f"2 messages of {100 * AHEAD + 1} bytes wait; read faster"),
        (["ä" * 50 * AHEAD, "y"], f"2 messages of {100 * AHEAD + 1} bytes wait; read faster"),
    ],
    ids=["messages", "bytes", "bytes of UTF-8"],
)
def test_even_before_its_first_turn_an_outbox_is_bounded(texts: list[str], reason: str) -> None:
    """A loop that puts for ever without giving way is ended by 16 times the bounds."""
    outbox = Outbox(messages=3, size=100)
    for text in texts[:-1]:
        outbox.put(text)
    assert len(outbox) == len(texts) - 1
    outbox.put(texts[-1])
    assert len(outbox) == 0
    outbox.put("ignored")
    assert len(outbox) == 0
    assert goodbye(outbox) == (CloseCode.TOO_SLOW, reason)


@pytest.mark.parametrize("bounds", [{"messages": 50}, {"size": 100_000}])
def test_a_peer_that_does_not_read_is_closed_with_4008(bounds: dict[str, int]) -> None:
    """When its outbox is full, in messages or in bytes; the outbox is empty then, and stays so."""
    shop = Shop(lambda: Outbox(**bounds))
    with shop.open() as server, Silent(server, "sid", greeting=Order(count=0).encode()) as sid:
        outbox = shop.outboxes.get(timeout=DEADLINE)
        for _ in range(40):
            sid.send(Opcode.TEXT, Order(count=10, size=2_000).encode().encode())
        ended = shop.ended.get(timeout=DEADLINE)
        assert ended.code == CloseCode.TOO_SLOW
        assert ended.reason.endswith("bytes wait; read faster")
        assert len(outbox) == 0


def test_what_waits_is_dropped_by_the_end() -> None:
    """`end` closes with its code, at once: what has been put in the same turn is not sent any more."""
    shop = Shop(then=lambda outbox: outbox.end(*REPLACED))
    with shop.open() as server, connect(server.url("/ws"), proxy=None) as client:
        order(client, 10)
        with pytest.raises(ConnectionClosed, match=r"4004 .* another device"):
            client.recv(timeout=DEADLINE)
        assert shop.ended.get(timeout=DEADLINE) == Ended(*REPLACED)


def test_the_end_interrupts_a_send_that_waits_for_the_peer() -> None:
    """A peer that reads nothing cannot delay its own end."""

    def end_when_stuck(outbox: Outbox) -> None:
        if len(outbox) > 50:
            outbox.end(*REPLACED)

    shop = Shop(lambda: Outbox(messages=1_000), then=end_when_stuck)
    with shop.open() as server, Silent(server, "sid", greeting=Order(count=0).encode()) as sid:
        for _ in range(40):
            sid.send(Opcode.TEXT, Order(count=10, size=2_000).encode().encode())
        assert shop.ended.get(timeout=DEADLINE) == Ended(*REPLACED)


def test_the_first_end_counts() -> None:
    """A connection has one reason to end, also when a second comes before it has."""
    outbox = Outbox()
    outbox.end(CloseCode.AUTH_REQUIRED, "expired")
    outbox.end(*REPLACED)
    outbox.put("ignored")
    assert len(outbox) == 0
    assert goodbye(outbox) == (CloseCode.AUTH_REQUIRED, "expired")


def test_who_cancels_the_writer_gets_the_cancellation() -> None:
    """An `end` at the same moment does not turn somebody else's cancellation into a goodbye."""

    async def both(outbox: Outbox) -> BaseException | None:
        writer = asyncio.create_task(outbox.write(NOBODY))
        await asyncio.sleep(0)  # it waits for something to send
        writer.cancel()
        outbox.end(*REPLACED)
        (result,) = await asyncio.gather(writer, return_exceptions=True)
        return result

    assert isinstance(asyncio.run(both(Outbox())), asyncio.CancelledError)


def test_an_end_from_another_handler_does_not_touch_that_handler() -> None:
    """Ana's new device ends the old one; her new handler goes on."""
    with (
        chat(devices_per_user=1) as room,
        Person(room.server, "ana", device="old") as old,
        Person(room.server, "ana", device="new") as new,
    ):
        assert old.end() == (CloseCode.REPLACED, "more than 1 devices")
        assert new.answers()
