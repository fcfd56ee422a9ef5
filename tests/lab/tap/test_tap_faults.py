"""A tap does to a connection what networks do; each fault is seen from both ends."""

from __future__ import annotations

import socket
import struct
import time

import pytest
from lab.tap.tap import Tap

from tests.lab.tap.ends import HOST, Ends, exactly, fill, nothing_accepted, nothing_arrives


def test_cut_cable_swallows_bytes_and_ends_both_ways(ends: Ends) -> None:
    """After cut() neither end gets a byte or learns that the other one closed; both may go on sending."""
    ends.tap.cut()
    ends.client.sendall(b"up")
    ends.server.sendall(b"down")
    ends.client.shutdown(socket.SHUT_WR)
    ends.tap.wait(lambda tap: (tap.bytes_up, tap.bytes_down) == (2, 4))
    ends.tap.settle()
    assert nothing_arrives(ends.server)
    assert nothing_arrives(ends.client)
    assert not ends.tap.conversations[0].ended


def test_mended_cable_brings_late_what_was_sent_meanwhile(ends: Ends) -> None:
    """TCP sends again what was lost, so mend() delivers everything, in order, and then the end."""
    ends.client.sendall(b"1")
    assert exactly(ends.server, 1) == b"1"
    ends.tap.cut()
    ends.client.sendall(b"2")
    ends.client.close()
    ends.tap.wait(lambda tap: tap.bytes_up == 2)
    ends.tap.mend()
    assert exactly(ends.server, 10) == b"2"
    ends.server.close()
    ends.tap.wait(lambda tap: tap.conversations[0].outcome == "closed")


def test_cut_of_one_direction_leaves_the_other_whole(ends: Ends) -> None:
    """What the server sends is lost while what the client sends still arrives."""
    ends.tap.cut("server")
    ends.server.sendall(b"lost")
    ends.client.sendall(b"heard")
    assert exactly(ends.server, 5) == b"heard"
    ends.tap.wait(lambda tap: tap.bytes_down == 4)
    assert nothing_arrives(ends.client)


def test_reset_does_not_cross_a_cut_cable(ends: Ends) -> None:
    """A client that crashes behind a cut cable stays connected, as far as the server can tell."""
    ends.tap.cut()
    ends.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    ends.client.close()
    ends.tap.settle()
    assert nothing_arrives(ends.server)
    ends.tap.mend()
    with pytest.raises(ConnectionResetError):
        ends.server.recv(1)


def test_cut_cable_holds_back_a_bounded_number_of_bytes(ends: Ends) -> None:
    """A sender into a cut cable is stopped by its own buffer, and gets rid of everything after mend()."""
    ends.tap.cut()
    sent = fill(ends.client)
    assert 0 < sent < 30_000_000
    ends.tap.mend()
    assert exactly(ends.server, sent) == b"x" * sent


def test_new_connection_over_a_cut_cable_gets_no_answer(listener: socket.socket) -> None:
    """The server doesn't see it before mend(); then it is served."""
    with Tap(listener.getsockname()) as tap:
        tap.cut()
        client = socket.create_connection((HOST, tap.port), timeout=30)
        client.sendall(b"anybody there?")
        tap.wait(lambda tap: tap.bytes_up == 14)
        assert nothing_arrives(client)
        assert nothing_accepted(listener)
        tap.mend()
        server, _ = listener.accept()
        assert exactly(server, 14) == b"anybody there?"
        server.close()
        client.close()


def test_client_that_gives_up_on_a_cut_cable_never_reaches_the_server(listener: socket.socket) -> None:
    """It left before the cable was mended, so the server never sees it."""
    with Tap(listener.getsockname()) as tap:
        tap.cut()
        client = socket.create_connection((HOST, tap.port), timeout=30)
        client.close()
        tap.wait(lambda tap: tap.conversations[0].outcome == "gave up")
        tap.mend()
        assert nothing_accepted(listener)


def test_stalled_direction_blocks_its_sender_and_not_the_other(ends: Ends) -> None:
    """The server's send blocks and the client gets nothing; what the client sends still arrives."""
    ends.tap.stall("server")
    sent = fill(ends.server)
    assert 0 < sent < 30_000_000
    assert nothing_arrives(ends.client)
    ends.client.sendall(b"still here")
    assert exactly(ends.server, 10) == b"still here"
    ends.tap.mend()
    assert exactly(ends.client, sent) == b"x" * sent


def test_stall_reads_no_byte_that_is_sent_after_it(ends: Ends) -> None:
    """From the moment stall() returns, nothing more is read, not even once."""
    ends.tap.stall("client")
    ends.client.sendall(b"late")
    ends.tap.settle()
    assert ends.tap.bytes_up == 0
    ends.tap.mend("client")
    assert exactly(ends.server, 4) == b"late"


def test_slow_direction_takes_its_time(ends: Ends) -> None:
    """20,000 bytes at 50,000 bytes a second take 0.4 s at least; the other direction takes none."""
    ends.tap.slow(50_000, "server")
    start = time.monotonic()
    ends.server.sendall(b"x" * 20_000)
    ends.client.sendall(b"quick")
    assert exactly(ends.server, 5) == b"quick"
    assert exactly(ends.client, 20_000) == b"x" * 20_000
    # the pause behind the last of eight pieces is not waited for
    assert time.monotonic() - start > 0.3


def test_mend_makes_a_slow_direction_quick_at_once(ends: Ends) -> None:
    """What would have taken a day arrives as soon as the direction is mended."""
    ends.tap.slow(1)
    ends.server.sendall(b"x" * 80_000)
    assert exactly(ends.client, 1) == b"x"
    ends.tap.mend()
    assert exactly(ends.client, 79_999) == b"x" * 79_999


def test_reset_ends_both_sides_with_an_error(ends: Ends) -> None:
    """After reset() each end gets "connection reset", and the tap goes on for the next connection."""
    ends.tap.reset()
    for end in (ends.client, ends.server):
        with pytest.raises(ConnectionResetError):
            end.recv(1)
    assert ends.tap.conversations[0].outcome == "reset"
    assert ends.tap.alive


@pytest.mark.parametrize("fault", ["cut", "stall"])
def test_reset_works_on_a_faulty_connection(ends: Ends, fault: str) -> None:
    """A connection that is cut or stalled can be reset all the same."""
    getattr(ends.tap, fault)()
    ends.tap.reset()
    with pytest.raises(ConnectionResetError):
        ends.server.recv(1)


def test_fault_with_a_wrong_argument_says_what_is_right(ends: Ends) -> None:
    """A misspelt direction and a rate of nothing are refused, not ignored."""
    with pytest.raises(ValueError, match="'client', 'server' or None for both, not 'down'"):
        ends.tap.cut("down")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="over 0, not 0; use stall"):
        ends.tap.slow(0)
