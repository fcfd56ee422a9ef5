"""Clients that take their time: half a request, an answer that nobody reads, more sockets than descriptors."""

from __future__ import annotations

import socket
from contextlib import ExitStack, suppress

import psutil
import pytest
from lab.servers.descriptors import allow_descriptors
from websockets.exceptions import WebSocketException

from server.wire.http_protocol import MOST_WAITING

from .beside import beside
from .target import DEADLINE, Target, read_all, until

HALF = b"GET /ws HTTP/1.1\r\nHost: x\r\nX-Slow: "
HALVES = [
    b"",
    b"G",
    HALF,
    b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345",
    b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n12345",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /heal",  # the second one
]


def is_over(raw: socket.socket) -> bool:
    """Whether the server has ended this connection."""
    raw.setblocking(False)
    try:
        while raw.recv(65_536):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def test_a_request_has_to_be_finished() -> None:
    """Slowloris: a byte now and then buys no time, whichever part of the request is missing."""
    with Target(patience=1, demo_login=True) as target, beside(target), ExitStack() as stack:
        crowd = [(stack.enter_context(target.raw()), half) for half in HALVES * 20]
        for raw, half in crowd:
            raw.sendall(half)

        def all_over() -> bool:
            for raw, half in crowd:
                with suppress(OSError):
                    raw.send(b"1" if half else b"")
            return all(is_over(raw) for raw, _ in crowd)

        assert until(all_over)


def test_uvicorn_alone_waits_forever() -> None:
    """The reason for the deadlines: the same half request, well after uvicorn's own deadline for keeping alive."""
    with Target(patience=1, guarded=False) as target, target.raw() as slow, target.raw() as done:
        slow.sendall(HALF)
        done.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert until(lambda: is_over(done))
        assert not is_over(slow)


def test_an_answer_has_to_be_read() -> None:
    """A few requests whose answers fill every buffer do not keep the socket."""
    with Target(patience=1) as target, beside(target), target.raw(receive=4_096) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 500)
        assert until(lambda: target.sockets_of(raw) == 0)


def test_requests_do_not_pile_up(target: Target) -> None:
    """Whoever sends request after request and reads no answer is cut off before they fill the memory."""
    requests = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 1_000_000
    with beside(target, memory=16 << 20), target.raw() as raw, pytest.raises((ConnectionResetError, BrokenPipeError)):
        raw.sendall(requests)


def test_the_oldest_of_too_many_is_aborted() -> None:
    """Whoever has no request when a thousand newer ones wait as well makes room; an honest client gets in."""
    allow_descriptors(MOST_WAITING + 200)
    with Target(patience=60) as target, beside(target), ExitStack() as stack:
        crowd = [stack.enter_context(target.raw()) for _ in range(MOST_WAITING + 100)]
        ask = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        assert until(lambda: b'"ok"' in target.answer(ask) and all(map(is_over, crowd[:100])))
        assert not is_over(crowd[-1])


@pytest.mark.skipif(not hasattr(psutil.Process, "rlimit"), reason="needs Linux, where limits can be set from outside")
def test_a_server_without_descriptors_comes_back() -> None:
    """While there are none, those who are connected are served; when the attackers' time is over, others get in.

    This is uvloop; asyncio fills the log meanwhile, and everybody waits (`server.run.file_limits`).
    """
    pytest.importorskip("uvloop", reason="asyncio does not carry on well without descriptors")

    def gets_in() -> bool:
        try:
            with target.client("late") as client:
                return "late" in str(client.recv(timeout=DEADLINE))
        except (OSError, WebSocketException):
            return False

    with Target(patience=2) as target, beside(target), ExitStack() as stack:
        target.process.rlimit(psutil.RLIMIT_NOFILE, (target.sockets + 10, 4_096))
        crowd = [stack.enter_context(target.raw()) for _ in range(50)]
        for raw in crowd:
            raw.sendall(b"GET")
        assert until(gets_in)
        assert until(lambda: all(map(is_over, crowd)))


def test_garbage_instead_of_http_is_answered_with_400(target: Target) -> None:
    """And the socket is closed: TLS, HTTP/2, SSH, nothing but zeros, and a line that never ends."""
    garbage = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\0" * 70_000,
        b"A" * 70_000,
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000,
        b"\r\n" * 10_000 + b"!\r\n\r\n",
    ]
    with beside(target):
        for data in garbage * 5:
            with target.raw() as raw:
                try:
                    raw.sendall(data)
                    raw.shutdown(socket.SHUT_WR)
                    answer = read_all(raw)
                except OSError:  # it was quicker
                    continue
                assert answer.split(b" ")[1:2] in ([], [b"400"], [b"404"]), (data[:40], answer)
