"""Outboxes over both ways and with every policy: in order, bounded, and nobody waits for anybody else."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import subprocess
import sys
import tracemalloc
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme
from fastapi import FastAPI, WebSocket, WebSocketException
from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from server import BackgroundServer, serve
from server.broadcasting import (
    Batch,
    FrameOutbox,
    Outbox,
    Overflow,
    PortableOutbox,
    Prepared,
    fan_out,
    statistics,
)
from server.echo import Ended
from server.messages import CloseCode
from server.wire.flusher import Flushable, Flusher, FrameSource
from server.wire.outboxes.message_queue import BURST
from server.wire.protocol import FanoutProtocol
from tests.server.people import DEADLINE, Person, Silent, chat
from tests.server.shop import FAST, PORTABLE, Order, Shop, numbers, order, until

REPLACED = (CloseCode.REPLACED, "another device")
NOBODY: Any = None  # a conversation that is not looked at, because nothing is sent
NOTHING = Order(count=0).encode()


class Never(Flusher):
    """Nothing is ever flushed."""

    def add(self, source: Flushable) -> None:
        """Forget it."""


class FakeLink(FanoutProtocol):
    """A connection that takes nothing and remembers how it was ended."""

    def __init__(self) -> None:
        self.close_frame: tuple[int, str] | None = None

    def attach(self, source: FrameSource, *, seconds: float = 10.0) -> Flusher:
        """Nothing is sent by itself."""
        return Never()

    def close_now(self, code: int, reason: str) -> None:
        """Remember."""
        self.close_frame = (code, reason)


@pytest.fixture(params=["portable", "fast", "fast on uvloop"])
def way(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Options for the server, for each way."""
    if "uvloop" in request.param:
        pytest.importorskip("uvloop")
        return FAST | {"loop": "uvloop"}
    return FAST if request.param == "fast" else PORTABLE


@pytest.fixture(params=[PortableOutbox, FrameOutbox], ids=["portable", "fast"])
def kind(request: pytest.FixtureRequest) -> type[Outbox]:
    """The class of outbox of each way."""
    kind: type[Outbox] = request.param
    return kind


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], ssl.SSLContext]:
    """Options for a server with a certificate, and what a client needs to believe it."""
    folder: Path = tmp_path_factory.mktemp("tls")
    authority, trust = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(trust)
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    for part in certificate.cert_chain_pems:
        part.write_to_path(folder / "chain.pem", append=True)
    return {"ssl_keyfile": str(folder / "key.pem"), "ssl_certfile": str(folder / "chain.pem")}, trust


def made(kind: type[Outbox], **bounds: Any) -> tuple[Outbox, FakeLink]:
    """An outbox that nothing is taken out of."""
    link = FakeLink()
    return (FrameOutbox(link, **bounds) if kind is FrameOutbox else kind(**bounds)), link


def close_of(outbox: Outbox, link: FakeLink) -> tuple[int, str] | None:
    """With what an outbox ends its connection."""
    if outbox.writer is None:
        return link.close_frame
    with pytest.raises(WebSocketException) as ended:
        outbox.writer(NOBODY).send(None)  # type: ignore[attr-defined]  # it is a coroutine, and raises at once
    return ended.value.code, ended.value.reason


# in order, and all of it


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_messages_arrive_in_order(way: dict[str, Any], compression: str | None) -> None:
    """What is put is sent, once and in order, also to a client that offers compression; nothing waits afterwards."""
    shop = Shop()
    with shop.open(**way) as server, shop.visit(server, compression=compression) as client:
        order(client, 1_000)
        assert numbers(client, 1_000) == list(range(1_000))
        seen = shop.outboxes.get(timeout=DEADLINE).statistics()
        assert (seen.messages, seen.size, seen.sent, seen.dropped, seen.blocked) == (0, 0, 1_000, 0, False)


@pytest.mark.anyio
async def test_messages_arrive_over_tls(way: dict[str, Any], tls: tuple[dict[str, Any], ssl.SSLContext]) -> None:
    """Two megabytes, more than the transport takes at once, arrive whole and in order."""
    shop = Shop({"size": 1 << 22})
    with shop.open(**way, **tls[0]) as server:
        async with (
            asyncio.timeout(DEADLINE),
            connect_async(server.url("/ws"), ssl=tls[1], proxy=None, max_queue=2) as websocket,
        ):
            await websocket.send(Order(count=200, size=10_000).encode())
            assert [int(await websocket.recv()) for _ in range(200)] == list(range(200))


def test_a_burst_is_not_held_against_a_peer_that_keeps_up(way: dict[str, Any]) -> None:
    """More messages than the outbox holds, put in one turn of the loop, are sent when the loop comes round."""
    shop = Shop({"messages": 10, "size": 1_000})
    with shop.open(**way) as server, shop.visit(server) as client:
        for turn in range(20):
            order(client, 10 * BURST, size=6)
            assert numbers(client, 10 * BURST) == list(range(turn * 10 * BURST, (turn + 1) * 10 * BURST))


def test_many_senders_at_once_do_not_close_each_other() -> None:
    """Ten people who all say fifty things at once, and all read, get all five hundred."""
    with chat(message_burst=100) as room:
        people = [Person(room.server, f"p{number}") for number in range(10)]
        for number in range(50):
            for person in people:
                person.say("hello", id=number)
        for person in people:
            assert [person.receive("message")["id"] for _ in range(500)].count(49) == 10
            person.socket.close()


# a peer that does not read


@pytest.mark.parametrize("bounds", [{"messages": 50}, {"size": 100_000}], ids=["messages", "bytes"])
def test_a_peer_that_does_not_read_is_closed_with_4008(way: dict[str, Any], bounds: dict[str, int]) -> None:
    """When its outbox is full, in messages or in bytes; the outbox is empty then, and stays so."""
    shop = Shop(bounds)
    with shop.open(**way) as server, Silent(server, "sid", greeting=NOTHING) as sid:
        outbox = shop.outboxes.get(timeout=DEADLINE)
        slow = statistics().slow
        for _ in range(40):
            sid.send(Opcode.TEXT, Order(count=10, size=2_000).encode().encode())
        ended = shop.ended.get(timeout=DEADLINE)
        assert ended.code == CloseCode.TOO_SLOW
        assert ended.reason.endswith("bytes wait; read faster")
        assert len(outbox) == 0
        assert statistics().slow == slow + 1


@pytest.mark.parametrize("overflow", Overflow)
def test_a_peer_that_does_not_read_costs_the_others_nothing(way: dict[str, Any], overflow: Overflow) -> None:
    """They get everything, whatever its policy, and no more than its bounds is kept for it."""
    shop = Shop({"messages": 50, "size": 200_000, "overflow": overflow})
    with shop.open(**way) as server, Silent(server, "sid", greeting=NOTHING), shop.visit(server) as client:
        outbox = shop.outboxes.get(timeout=DEADLINE)
        for turn in range(100):
            order(client, 10, size=2_000, for_all=True, keys=10)
            assert numbers(client, 10) == list(range(turn * 10, turn * 10 + 10))
            seen = outbox.statistics()
            assert seen.messages <= 50
            assert seen.size <= 200_000
        assert (seen.messages == 0) == (overflow is Overflow.DISCONNECT)
        assert seen.dropped > 0
        assert (seen.messages == 10) == (overflow is Overflow.KEEP_LATEST)


def test_tls_does_not_buffer_more_than_plain_text(tls: tuple[dict[str, Any], ssl.SSLContext]) -> None:
    """Beside what the outbox may hold, there are 128 KiB in the transport, not the half megabyte that asyncio takes."""
    shop = Shop({"messages": 10, "overflow": Overflow.DROP_OLDEST})
    many = Frame(Opcode.TEXT, Order(count=10, size=20_000).encode().encode()).serialize(mask=True)
    with (
        shop.open(**FAST, **tls[0]) as server,
        socket.create_connection(("127.0.0.1", server.port)) as plain,
        tls[1].wrap_socket(plain, server_hostname="127.0.0.1") as client,
    ):
        client.sendall(
            b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        outbox, protocol = shop.outboxes.get(timeout=DEADLINE), shop.protocols.get(timeout=DEADLINE)
        while outbox.statistics().dropped < 100:
            client.sendall(many)
        assert protocol.transport.get_write_buffer_size() < 200_000


@pytest.mark.parametrize("overflow", [Overflow.DROP_OLDEST, Overflow.KEEP_LATEST])
def test_a_peer_that_reads_late_gets_what_is_newest(way: dict[str, Any], overflow: Overflow) -> None:
    """What was kept for it comes whole, to the very last message, or to each key's last; the gap lies before."""
    shop = Shop({"messages": 50, "overflow": overflow})
    with shop.open(**way) as server, Silent(server, "sid", greeting=NOTHING) as sid, shop.visit(server) as client:
        outbox = shop.outboxes.get(timeout=DEADLINE)
        for _ in range(100):
            order(client, 10, size=2_000, for_all=True, keys=10)
            numbers(client, 10)
        client.close()
        assert shop.loop is not None
        until(lambda: len(shop.members) == 1)
        shop.loop.call_soon_threadsafe(lambda: fan_out(shop.members, "the end"))
        received = b""
        while not received.endswith(b"the end"):
            received += sid.socket.recv(65_536)
        texts = [text.strip() for text in received.split(b"\x81\x7e\x07\xd0")[1:]]
        got = [int(text.removesuffix(b"\x81\x07the end")) for text in texts]
        assert sorted(got[-10:]) == list(range(990, 1_000))
        assert overflow is Overflow.KEEP_LATEST or got == sorted(got)
        assert outbox.statistics().sent == len(got) + 1
        assert outbox.statistics().dropped == 1_000 - len(got) > 0


def test_a_peer_that_takes_nothing_is_closed_although_its_outbox_is_not_full() -> None:
    """After the seconds given, whatever the policy; the portable way leaves this to the timeout of `converse`."""
    shop = Shop({"messages": 100_000, "size": 1 << 30, "overflow": Overflow.DROP_OLDEST, "seconds": 0.2})
    with shop.open(**FAST) as server, Silent(server, "sid", greeting=Order(count=2_000, size=4_000).encode()):
        assert shop.ended.get(timeout=DEADLINE) == Ended(CloseCode.TOO_SLOW, "nothing was read for 0.2 s")
        until(lambda: server.connections == 0)


@pytest.mark.parametrize("end", ["vanish", "killed"])
def test_a_peer_that_is_gone_costs_the_others_nothing(way: dict[str, Any], end: str) -> None:
    """Reset or closed in the middle of what is sent: nothing is raised in anybody's handler, and its own one ends."""
    shop = Shop()
    with shop.open(**way) as server, shop.visit(server) as client:
        until(lambda: len(shop.members) == 1)
        silent = Silent(server, "sid", greeting=NOTHING)
        until(lambda: len(shop.members) == 2)
        for turn in range(30):
            order(client, 20, size=500, for_all=True)
            if turn == 10:
                (silent.vanish if end == "vanish" else silent.socket.close)()
            assert numbers(client, 20) == list(range(turn * 20, turn * 20 + 20))
        assert shop.ended.get(timeout=DEADLINE).code in (CloseCode.NO_STATUS, CloseCode.ABNORMAL)
        until(lambda: list(shop.members) == [shop.outboxes.queue[0]])
        assert "Exception" not in str(server.log)


# the end


def test_what_waits_is_dropped_by_the_end(way: dict[str, Any]) -> None:
    """`end` closes with its code, at once: what has been put in the same turn is not sent any more."""
    shop = Shop(then=lambda outbox: outbox.end(*REPLACED))
    with shop.open(**way) as server, shop.visit(server) as client:
        order(client, 10)
        with pytest.raises(ConnectionClosed, match=r"4004 .* another device"):
            client.recv(timeout=DEADLINE)
        assert shop.ended.get(timeout=DEADLINE) == Ended(*REPLACED)


def test_the_end_interrupts_what_waits_for_the_peer(way: dict[str, Any]) -> None:
    """A peer that reads nothing cannot delay its own end."""

    def end_when_stuck(outbox: Outbox) -> None:
        if len(outbox) > 50:
            outbox.end(*REPLACED)

    shop = Shop({"messages": 1_000}, then=end_when_stuck)
    with shop.open(**way) as server, Silent(server, "sid", greeting=NOTHING) as sid:
        for _ in range(40):
            sid.send(Opcode.TEXT, Order(count=10, size=2_000).encode().encode())
        assert shop.ended.get(timeout=DEADLINE) == Ended(*REPLACED)


def test_the_first_end_counts(kind: type[Outbox]) -> None:
    """A connection has one reason to end, also when a second comes before it has."""
    outbox, link = made(kind)
    outbox.end(CloseCode.AUTH_REQUIRED, "expired")
    outbox.end(*REPLACED)
    outbox.send_nowait("ignored")
    assert len(outbox) == 0
    assert close_of(outbox, link) == (CloseCode.AUTH_REQUIRED, "expired")


def test_a_reason_that_is_too_long_is_cut(way: dict[str, Any]) -> None:
    """A close frame holds 123 bytes of reason; one that holds more would kill the connection without a code."""
    shop = Shop(then=lambda outbox: outbox.end(CloseCode.REPLACED, "ä" * 100))
    with shop.open(**way) as server, shop.visit(server) as client:
        order(client, 1)
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=DEADLINE)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4004, "ä" * 61)


@pytest.mark.anyio
async def test_a_cancelled_writer_is_cancelled() -> None:
    """An `end` at the same moment does not turn somebody else's cancellation into a close frame."""
    outbox = PortableOutbox()
    writer = asyncio.ensure_future(outbox.writer(NOBODY))
    await asyncio.sleep(0)  # it waits for something to send
    writer.cancel()
    outbox.end(*REPLACED)
    (result,) = await asyncio.gather(writer, return_exceptions=True)
    assert isinstance(result, asyncio.CancelledError)


def test_an_end_from_another_handler_does_not_touch_that_handler() -> None:
    """Ana's new device ends the old one; her new handler goes on."""
    with (
        chat(devices_per_user=1) as room,
        Person(room.server, "ana", device="old") as old,
        Person(room.server, "ana", device="new") as new,
    ):
        assert old.end() == (CloseCode.REPLACED, "more than 1 devices")
        assert new.answers()


# bounds and policies, without a wire


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (["x"] * (3 * BURST + 1), f"{3 * BURST + 1} messages of {3 * BURST + 1} bytes wait; read faster"),
        (["x" * 100 * BURST, "y"], f"2 messages of {100 * BURST + 1} bytes wait; read faster"),
        (["ä" * 50 * BURST, "y"], f"2 messages of {100 * BURST + 1} bytes wait; read faster"),
    ],
    ids=["messages", "bytes", "bytes of UTF-8"],
)
def test_even_before_its_first_turn_an_outbox_is_bounded(kind: type[Outbox], texts: list[str], reason: str) -> None:
    """A loop that sends forever and never waits is ended at 16 times the bounds."""
    outbox, link = made(kind, messages=3, size=100)
    for text in texts[:-1]:
        outbox.send_nowait(text)
    assert len(outbox) == len(texts) - 1
    outbox.send_nowait(texts[-1])
    assert len(outbox) == 0
    outbox.send_nowait("ignored")
    assert len(outbox) == 0
    assert close_of(outbox, link) == (CloseCode.TOO_SLOW, reason)


messages = st.builds(Prepared, st.text(max_size=8), st.sampled_from([None, None, "a", "b", "c"]))


@pytest.mark.parametrize("overflow", [Overflow.DROP_OLDEST, Overflow.KEEP_LATEST])
@settings(deadline=None)
@given(steps=st.lists(st.one_of(messages, st.integers(1, 40), st.booleans()), max_size=60))
@example(steps=[Prepared(""), True, Prepared("x" * 21), True, Prepared("x" * 21)])  # all is dropped
def test_the_queue_is_bounded_and_in_order(overflow: Overflow, steps: list[Prepared | int | bool]) -> None:
    """Against a plain model: what is taken, what is dropped and what is replaced, while the peer keeps up or not."""
    outbox = FrameOutbox(FakeLink(), messages=3, size=20, overflow=overflow)
    line: list[Prepared] = []
    put = taken = 0
    times = BURST
    for step in steps:
        if isinstance(step, bool):
            outbox.set_blocked(blocked=step)
            times = 1 if step and line else BURST
        elif isinstance(step, int):
            expected = b""
            total = 0
            while line and total < step:
                message = line.pop(0)
                expected, total, taken = expected + message.frame, total + message.size, taken + 1
            assert outbox.take_frames(step) == expected
        else:
            put += 1
            outbox.send_nowait(step)
            same = [index for index, one in enumerate(line) if step.key is not None and one.key == step.key]
            if overflow is Overflow.KEEP_LATEST and same:
                line[same[0]] = step
            else:
                line.append(step)
            while len(line) > times * 3 or sum(message.size for message in line) > times * 20:
                line.pop(0)
        seen = outbox.statistics()
        assert (seen.messages, seen.size, seen.sent) == (len(line), sum(message.size for message in line), taken)
        assert seen.dropped == put - taken - len(line)
    outbox.connection_lost()
    assert outbox.statistics().dropped == put - taken


@settings(deadline=None)
@given(st.text())
def test_a_prepared_message_is_one_whole_frame(text: str) -> None:
    """Final, unmasked, not compressed, and encoded once; half a surrogate pair cannot break the connection."""
    message = Prepared(text)
    data = text.encode(errors="replace")
    assert message.size == len(data)
    assert message.frame == Frame(Opcode.TEXT, data).serialize(mask=False)
    assert message.frame is message.frame
    assert message.text.encode() == data


def test_half_a_surrogate_pair_becomes_a_question_mark() -> None:
    """JSON can say one, UTF-8 cannot carry it."""
    assert Prepared("a\ud83d") == Prepared("a?")


def test_fanning_out_takes_outboxes_and_members(kind: type[Outbox]) -> None:
    """Everybody gets the same message, made ready once."""

    class Member:
        def __init__(self) -> None:
            self.got: list[Prepared] = []

        def send_nowait(self, message: Prepared) -> None:
            self.got.append(message)

        def send_many_nowait(self, batch: Batch) -> None:
            self.got += batch.messages

    outbox, _ = made(kind)
    member = Member()
    assert fan_out([outbox, member, member], "hello") == 3
    assert member.got == [Prepared("hello")] * 2
    assert member.got[0] is member.got[1]
    assert len(outbox) == 1


# the choice


def test_each_server_gets_its_fastest_outbox(way: dict[str, Any]) -> None:
    """A server that offers frames needs no writer, another one does."""
    shop = Shop()
    with shop.open(**way) as server, shop.visit(server):
        outbox = shop.outboxes.get(timeout=DEADLINE)
        assert (outbox.writer is None) == (way is not PORTABLE)
        assert type(outbox) is (PortableOutbox if way is PORTABLE else FrameOutbox)


def test_the_portable_outbox_is_warned_of_once() -> None:
    """With what to do about it, in the log of the server software; in a process that has not warned yet."""
    script = """
import logging
from fastapi import WebSocket
from server.broadcasting import open_outbox
logging.basicConfig(format="%(name)s: %(message)s")
for _ in range(3):
    open_outbox(WebSocket({"type": "websocket", "extensions": {}}, None, None))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=True)
    (line,) = done.stderr.splitlines()
    assert line.startswith("uvicorn.error: ")
    assert line.endswith("; under uvicorn pass --ws server.wire.protocol:FanoutProtocol, or ws=FanoutProtocol")


def test_statistics_tell_of_open_and_closed_outboxes(way: dict[str, Any]) -> None:
    """What a closed connection was sent stays in the sum, and the connection does not."""
    before = statistics()
    shop = Shop()
    with shop.open(**way) as server:
        with shop.visit(server) as one, shop.visit(server):
            until(lambda: len(shop.members) == 2)
            order(one, 10, for_all=True)
            numbers(one, 10)
            until(lambda: statistics().sent == before.sent + 20)
            assert statistics().connections == before.connections + 2
        until(lambda: statistics().connections == before.connections)
        assert statistics().sent == before.sent + 20
        assert statistics().messages == before.messages


def test_a_connection_that_idles_costs_no_more_than_a_bare_one() -> None:
    """`converse`, an outbox and the protocol together take no more memory than a handler that only receives."""
    bare = FastAPI()

    @bare.websocket("/ws")
    async def receive(websocket: WebSocket) -> None:
        await websocket.accept()
        while True:
            await websocket.receive_text()

    with serve(bare) as server:
        expected = held_by_each(server)
    with Shop().open(**FAST) as server:
        assert held_by_each(server) < 1.05 * expected


def held_by_each(server: BackgroundServer, connections: int = 30) -> float:
    """Bytes that Python holds for each of some idle connections."""
    with ExitStack() as clients:
        clients.enter_context(Silent(server, "warm", greeting=""))
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for number in range(connections):
                clients.enter_context(Silent(server, str(number), greeting=""))
            until(lambda: server.connections == connections + 1)
            gc.collect()
            return (tracemalloc.get_traced_memory()[0] - before) / connections
        finally:
            tracemalloc.stop()
