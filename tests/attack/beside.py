"""An honest pair that chats beside an attack, and what the attack has cost: them, and the server."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from websockets.sync.client import ClientConnection

from .target import DEADLINE, Target, until

__all__ = ["MEMORY", "Cost", "beside"]

MEMORY = 48 << 20  # bytes that an attack may cost the server at any moment
PAUSE = 0.25  # seconds between two messages of the pair, which may send five a second
LOOK = 0.02  # seconds between two looks at the server's memory
PAIRS = itertools.count(
    1
)  # each with names of its own: the limits count by user, and many attacks take less than 0.1 s


@dataclass
class Cost:
    """What an attack has cost."""

    sent: int = 0
    """Messages of the pair that were sent."""
    heard: list[int] = field(default_factory=list)
    """Numbers of those that came, in the order of their coming."""
    slowest: float = 0.0
    """Seconds of the slowest of them, from one to the other."""
    error: str = ""
    """Why the pair could not go on."""
    memory: int = 0
    """Bytes that the server held beyond what it had held before, at the worst moment."""
    kept: int = 0
    """Bytes that it holds beyond that in the end."""
    descriptors: int = 0
    """Descriptors that are open in the end and were not before; after a wait for those that are being closed."""
    failures: int = 0
    """Tracebacks in its log."""


@contextmanager
def beside(target: Target, *, memory: int = MEMORY) -> Iterator[Cost]:
    """Chat while the block attacks, and say what is wrong afterwards: nothing lost, nothing kept, nothing failed."""
    cost = measured = Cost()
    failures = target.log.count("Traceback")
    pair = next(PAIRS)
    with target.client(f"honest ana {pair}") as ana, target.client(f"honest ben {pair}") as ben:
        for client in (ana, ben):
            client.send('{"type":"join","room":"honest"}')
            _until_joined(client)
        held, descriptors, over = target.memory, target.sockets, threading.Event()
        threads = [
            threading.Thread(target=_talk, args=(ana, ben, cost, over), name="crowd-honest"),
            threading.Thread(target=_weigh, args=(target, held, cost, over), name="crowd-scales"),
        ]
        for thread in threads:
            thread.start()
        try:
            yield cost
        finally:
            over.set()
            for thread in threads:
                thread.join()
        until(lambda: target.sockets <= descriptors)
        measured.descriptors = max(0, target.sockets - descriptors)
    measured.kept = target.memory - held
    measured.failures = target.log.count("Traceback") - failures
    assert target.is_up
    assert not measured.error, measured.error
    assert measured.heard == list(range(measured.sent)), "the honest pair has lost something"
    assert measured.memory < memory
    assert not measured.descriptors, "connections are left behind"
    assert not measured.failures, target.log[-3_000:]


def _until_joined(client: ClientConnection) -> None:
    while '"joined"' not in str(client.recv(timeout=DEADLINE)):
        pass


def _talk(ana: ClientConnection, ben: ClientConnection, cost: Cost, over: threading.Event) -> None:
    try:
        while not cost.sent or not over.wait(PAUSE):
            began = time.perf_counter()
            ana.send(json.dumps({"type": "say", "room": "honest", "text": str(cost.sent)}))
            cost.sent += 1
            while (message := json.loads(ben.recv(timeout=DEADLINE)))["type"] != "message":
                pass
            cost.heard.append(int(message["text"]))
            cost.slowest = max(cost.slowest, time.perf_counter() - began)
    except Exception as error:
        cost.error = repr(error)


def _weigh(target: Target, held: int, cost: Cost, over: threading.Event) -> None:
    while not over.wait(LOOK):
        cost.memory = max(cost.memory, target.memory - held)
