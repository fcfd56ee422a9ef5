"""Every server of the fan-out benchmark delivers what the benchmark counts."""

from __future__ import annotations

import os
import re
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.sync.client import ClientConnection, connect

from benchmarks.client import Greeting, LostError
from benchmarks.contestant import Contestant, ContestantError
from benchmarks.load import Load
from benchmarks.rows import ELSEWHERE, ROWS, Row, SkipError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmark needs Linux")

ALL = (*ROWS, *ELSEWHERE)
CLIENTS = 5
MESSAGES = 40
DEADLINE = 60.0
TEXT = re.compile(r'text\\?":\\?"([a-z ]{20,})')  # also where JSON stands inside JSON


def said(message: str) -> str | None:
    """The random words in a message, or None in one that is no broadcast."""
    found = TEXT.search(message)
    return found and found[1]


def enter(stack: ExitStack, row: Row, folder: Path) -> Contestant:
    """Start the server of a row, or skip the test where it cannot run."""
    try:
        return stack.enter_context(Contestant(row.command(str(folder)), core=None))
    except SkipError as reason:
        pytest.skip(str(reason))


def come(stack: ExitStack, row: Row, port: int, greeting: Greeting) -> ClientConnection:
    """Connect with the library's client, and read what comes before the first broadcast."""
    headers = [line.split(": ", 1) for line in greeting.headers.splitlines() if not line.startswith("Sec-")]
    client = connect(
        f"ws://127.0.0.1:{port}{greeting.path}",
        additional_headers=dict(headers),
        compression="deflate" if row.compression else None,
        proxy=None,
        open_timeout=DEADLINE,
    )
    stack.enter_context(client)
    for text in greeting.hello:
        client.send(text)
    for _ in range(greeting.answers):
        client.recv(DEADLINE)
    return client


@pytest.mark.parametrize("row", ALL, ids=[row.key for row in ALL])
def test_everybody_gets_every_message_once_and_in_order(row: Row, tmp_path: Path) -> None:
    """What a row counts is what the speaker has said, to each of five, none missing, doubled or swapped."""
    texts = [row.say(number, 128) for number in range(MESSAGES)]
    with ExitStack() as stack:
        server = enter(stack, row, tmp_path)
        greetings = row.greetings(server.port, 0, CLIENTS)
        clients = [come(stack, row, server.port, greeting) for greeting in greetings]
        for text in texts:
            clients[0].send(text)
        for client in clients:
            heard: list[str] = []
            while len(heard) < MESSAGES:
                heard += filter(None, [said(str(client.recv(DEADLINE)))])
            assert heard == [said(text) for text in texts]


@pytest.mark.parametrize("row", ALL, ids=[row.key for row in ALL])
def test_the_load_client_counts_them(row: Row, tmp_path: Path) -> None:
    """The load client, which looks at headers only, counts each message once on each connection."""
    with ExitStack() as stack:
        server = enter(stack, row, tmp_path)
        load = stack.enter_context(Load(server.port, smallest=row.smallest))
        load.open(row.greetings(server.port, 0, CLIENTS))
        load.settle(row.settling(CLIENTS))
        load.say(row.frames()[:MESSAGES], in_flight=20)
        assert load.counts == [MESSAGES] * CLIENTS


def test_a_server_that_stops_is_told_from_a_slow_one() -> None:
    """A server that is killed in the middle is an error of the row at once, and no endless wait."""
    row = next(row for row in ROWS if row.key == "tutorial")
    with ExitStack() as stack:
        server = stack.enter_context(Contestant(row.command(""), core=None))
        load = stack.enter_context(Load(server.port))
        load.open(row.greetings(server.port, 0, CLIENTS))
        os.kill(server.pid, signal.SIGKILL)
        with pytest.raises(LostError):
            load.rate(row.frames(), seconds=1, in_flight=20)


def test_a_server_that_cannot_start_says_why() -> None:
    """The row shows the last line of the error."""
    with (
        pytest.raises(ContestantError, match="no_such_module"),
        Contestant(["python3", "-m", "no_such_module"], core=None),
    ):
        pass
