"""The counters of frames, in Python and in C, on byte streams made by hand and by the library."""

from __future__ import annotations

import random
import shutil
import sys
from collections.abc import Callable

import pytest
from websockets.frames import Frame, Opcode

from benchmarks.compiled_counter import COMPILERS, CompiledCounter
from benchmarks.frame_counter import FrameCounter

CUTS = (1, 2, 3, 7, 130, 65_536)

Counter = FrameCounter | CompiledCounter
Fed = Callable[..., Counter]


@pytest.fixture(params=[FrameCounter, CompiledCounter])
def fed(request: pytest.FixtureRequest) -> Fed:
    """Feeds a new counter with a stream in pieces of some lengths, one after the other and again."""
    if request.param is CompiledCounter and not (sys.platform == "linux" and any(map(shutil.which, COMPILERS))):
        pytest.skip("there is no C compiler, or no epoll")

    def feed(stream: bytes, *cuts: int, smallest: int = 0) -> Counter:
        counter: Counter = request.param(smallest)
        at = turn = 0
        while at < len(stream):
            size = cuts[turn % len(cuts)]
            counter.feed(stream[at : at + size])
            at, turn = at + size, turn + 1
        return counter

    return feed


def encoded(opcode: Opcode, size: int, *, fin: bool = True) -> bytes:
    """A frame as the library writes it for a server."""
    return Frame(opcode, b"x" * size, fin).serialize(mask=False)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("size", [0, 1, 125, 126, 128, 65_535, 65_536])
def test_every_length_is_counted_wherever_the_stream_is_cut(fed: Fed, size: int, cut: int) -> None:
    """Three messages of one length are three, with each way to write the length and each cut."""
    counter = fed(encoded(Opcode.TEXT, size) * 3, cut)
    assert (counter.messages, counter.size) == (3, 3 * size)


@pytest.mark.parametrize("cut", CUTS)
def test_messages_of_different_lengths_are_told_apart(fed: Fed, cut: int) -> None:
    """A run of equal frames that is followed by others is not counted too far."""
    sizes = [128] * 20 + [127] * 3 + [128, 5, 128, 300] + [300] * 7
    counter = fed(b"".join(encoded(Opcode.TEXT, size) for size in sizes), cut)
    assert (counter.messages, counter.size) == (len(sizes), sum(sizes))


@pytest.mark.parametrize("cut", CUTS)
def test_control_frames_are_no_messages(fed: Fed, cut: int) -> None:
    """Pings are counted apart, pongs not at all, and a close frame is noticed."""
    stream = encoded(Opcode.TEXT, 128) + encoded(Opcode.PING, 4) * 2 + encoded(Opcode.PONG, 125)
    counter = fed(stream + encoded(Opcode.TEXT, 128) + encoded(Opcode.CLOSE, 2), cut)
    assert (counter.messages, counter.pings, counter.closed) == (2, 2, True)


@pytest.mark.parametrize("cut", CUTS)
def test_a_message_in_fragments_counts_once(fed: Fed, cut: int) -> None:
    """Only the last fragment counts, also with a ping between the fragments."""
    stream = encoded(Opcode.TEXT, 9, fin=False) + encoded(Opcode.PING, 0) + encoded(Opcode.CONT, 9, fin=False)
    assert fed((stream + encoded(Opcode.CONT, 7)) * 2, cut).messages == 2


def test_short_messages_can_be_left_out(fed: Fed) -> None:
    """What is smaller than asked for is read and not counted."""
    stream = (encoded(Opcode.TEXT, 99) + encoded(Opcode.TEXT, 100)) * 4
    assert fed(stream, 11, smallest=100).messages == 4


def test_a_message_counts_with_its_last_byte(fed: Fed) -> None:
    """All but one byte of a message is no message."""
    stream = encoded(Opcode.TEXT, 128)
    counter = fed(stream[:-1], len(stream))
    assert counter.messages == 0
    counter.feed(stream[-1:])
    assert counter.messages == 1


def test_a_masked_frame_is_refused(fed: Fed) -> None:
    """A server that masks, or a stream that is out of step, is no reason to count on."""
    with pytest.raises(ValueError, match="masked"):
        fed(Frame(Opcode.TEXT, b"x").serialize(mask=True), 100)


@pytest.mark.parametrize("seed", range(20))
def test_random_streams_are_counted_as_they_were_made(fed: Fed, seed: int) -> None:
    """Whatever the lengths, kinds and cuts, the count is that of the maker."""
    choice = random.Random(seed)
    kinds = choice.choices([(Opcode.TEXT, 128), (Opcode.TEXT, 126), (Opcode.BINARY, 9), (Opcode.PING, 0)], k=300)
    stream = b"".join(encoded(*kind) for kind in kinds)
    counter = fed(stream, *(choice.randint(1, 700) for _ in range(50)))
    pings = sum(opcode is Opcode.PING for opcode, _ in kinds)
    assert (counter.messages, counter.pings) == (300 - pings, pings)


def test_nothing_is_no_message(fed: Fed) -> None:
    """An empty read, before anything else, counts as nothing."""
    counter = fed(b"")
    counter.feed(b"")
    assert counter.messages == 0
