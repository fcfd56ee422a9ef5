"""Fill a store with inboxes, faster than a server would: with the same statements and scripts, many at a time."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import redis

from server.broker import Limits
from server.broker.sqlite.files import open_file
from server.broker.sqlite.store import Store
from server.broker.valkey.scripts import PUBLISH

__all__ = ["PAYLOAD", "fill", "topic_of"]

PAYLOAD = '{"kind":"order","text":"on its way","id":"0011223344556677","data":null}'
TOGETHER = 5_000  # records in one transaction, or commands in one piece
DEADLINE = 30.0  # seconds for the engine to take a piece
KEY_LIFE = "60000"  # milliseconds
UNSEEN = ("", "0", "0")  # the position of a process that has seen nothing of a topic


def topic_of(number: int) -> str:
    """Return the topic of the inbox with this number."""
    return f"inbox:user{number}"


def fill(url: str, limits: Limits, *, inboxes: int, each: int) -> None:
    """Store so many notifications in so many inboxes; the next one goes to the next inbox.

    Raises:
        RuntimeError: the engine refused a record.
    """
    scheme, _, path = url.partition(":")
    if scheme == "sqlite":
        _fill_file(Path(path), limits, inboxes, each)
    else:
        _fill_engine(url, limits, inboxes, each)


def _pieces(inboxes: int, each: int) -> Iterator[tuple[int, range]]:
    for turn in range(each):
        for start in range(0, inboxes, TOGETHER):
            yield turn, range(start, min(start + TOGETHER, inboxes))


def _fill_file(path: Path, limits: Limits, inboxes: int, each: int) -> None:
    database = open_file(path)
    for pragma in ("synchronous = OFF", "cache_size = -262144"):  # for this connection only
        database.execute(f"PRAGMA {pragma}")
    store = Store(database, limits, time.time)
    for _, piece in _pieces(inboxes, each):
        topics = [topic_of(number) for number in piece]
        store.transact(lambda store: [store.publish(topic, PAYLOAD, None) for topic in topics])  # noqa: B023
    store.checkpoint()
    store.close()


def _fill_engine(url: str, limits: Limits, inboxes: int, each: int) -> None:
    """Send the broker's own script by hand: a client library takes longer to write a command than the engine to run it.

    The keys by which the engine knows a record again are removed at once: in real life they expire within a minute.
    """
    address = urlsplit(url)
    with (
        redis.from_url(url) as client,
        socket.create_connection((address.hostname, address.port), timeout=DEADLINE) as connection,
    ):
        client.script_load(PUBLISH.source)
        for turn, piece in _pieces(inboxes, each):
            keys = [f"chat:{{{topic_of(number)}}}:own:{turn}" for number in piece]
            publish = [_command(number, key, limits) for number, key in zip(piece, keys, strict=True)]
            connection.sendall(b"".join([*publish, _packed("UNLINK", *keys)]))
            _read_answers(connection, len(piece))


def _command(number: int, key: str, limits: Limits) -> bytes:
    base = f"chat:{{{topic_of(number)}}}"
    life, age = f"{limits.seconds * 2_000:.0f}", f"{limits.seconds * 1e6:.0f}"
    stored = (f"{base}:news", PAYLOAD, str(limits.records), KEY_LIFE)
    return _packed("EVALSHA", PUBLISH.sha, "3", f"{base}:meta", f"{base}:log", key, key, life, age, *UNSEEN, *stored)


def _packed(*words: str) -> bytes:
    lines = [f"*{len(words)}", *(part for word in words for part in (f"${len(word)}", word)), ""]
    return "\r\n".join(lines).encode()


def _read_answers(connection: socket.socket, count: int) -> None:
    """Read until the number of keys that were removed, which is the last answer."""
    answers = b""
    while not answers.endswith(b":%d\r\n" % count):
        piece = connection.recv(1 << 20)
        if not piece or b"-ERR" in piece or b"-NOSCRIPT" in piece:
            raise RuntimeError(f"the engine refused a record: {piece[:200]!r}")
        answers = answers[-32:] + piece
