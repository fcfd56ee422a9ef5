"""Two stories that a manager of connections has to survive; their people are real clients and speak plain text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from websockets.sync.client import ClientConnection, connect

from server import BackgroundServer

from ..observe.endings import message_or_code
from ..servers.host import Handler, host
from ..tap.conversation import Conversation
from ..tap.tap import Tap

__all__ = ["accident", "bens_day"]


def accident(handler: Handler, manager: Any) -> None:
    """Let Ben close his tab while his handler is busy: ``accident(talk, OutboxManager())`` prints what follows.

    A server of its own calls ``handler(websocket, user, manager)`` for each client. Ana, Ben and Cyd connect, in this
    order. Ben says "busy", which must keep his handler busy for a while, and closes. Ana says "hello", and when she
    has heard it, Cyd says "bye". The handler must send to everybody what somebody says, as ``ana: hello``. All that
    Ana and Cyd hear is printed, a line each. 1006 stands for a connection that was cut off. Then comes who is listed in
    ``manager.users``, a dict of names, or in ``manager.active``, a list of connections: once at the end of the story,
    and once when all clients have left, the server has stopped, and every handler has ended.

    Raises:
        TimeoutError: somebody heard neither what was said nor an end, for 15 s.
    """
    server = host(handler, manager)
    with _connected(server, "ana", "ben", "cyd") as (ana, ben, cyd):
        ben.send("busy")
        ben.close()
        ana.send("hello")
        ana_hears = _heard(ana, "ana: hello")
        cyd.send("bye")
        cyd_hears = _heard(cyd, "cyd: bye")
        if ana_hears[-1] == "ana: hello":
            ana_hears += _heard(ana, "cyd: bye")
        print("ana hears", ana_hears)
        print("cyd hears", cyd_hears)
        print("listed:", *_listed(manager))
    server.stop()
    print("listed when all handlers have ended:", *_listed(manager) or ["nobody"])


def bens_day(server: BackgroundServer) -> Conversation:
    """Play Ben's day, and print what Ana hears of it: ``bens_day(host(talk, Room()))``.

    Ana is at ``/ws/ana`` all the time. Ben, at ``/ws/ben``, opens two tabs and closes both. He comes back at once,
    says "back", and leaves for good. What he says must be sent to everybody as ``ben: back``, and when he has left,
    ``ben left``.

    Returns:
        Ana's connection as a `Tap` has recorded it, for `sequence` and `side_by_side`.

    Raises:
        TimeoutError: Ana did not hear one of the two, for 15 s.
    """
    with Tap(server) as tap:
        with _connected(tap, "ana") as (ana,):
            with _connected(server, "ben", "ben"):
                pass
            with _connected(server, "ben") as (ben,):
                ben.send("back")
                print("while he is here:", _heard(ana, "ben: back"))
            print("when he has left:", _heard(ana, "ben left"))
        tap.settle()
        return tap.conversations[0]


def _listed(manager: Any) -> list[str]:
    if hasattr(manager, "users"):
        return list(manager.users)
    return [websocket.path_params["user"] for websocket in manager.active]


@contextmanager
def _connected(server: BackgroundServer | Tap, *users: str) -> Iterator[list[ClientConnection]]:
    """A client for each user, one after the other; all leave at the end."""
    with ExitStack() as stack:
        urls = [server.url(f"/ws/{user}") for user in users]
        yield [stack.enter_context(connect(url, compression=None, proxy=None)) for url in urls]


def _heard(client: ClientConnection, last: str) -> list[str | bytes | int]:
    """What a client hears up to the text `last`, or to its close code."""
    heard = [_next(client)]
    while heard[-1] != last and not isinstance(heard[-1], int):
        heard.append(_next(client))
    return heard


def _next(client: ClientConnection) -> str | bytes | int:
    message = message_or_code(client)
    return int(message) if isinstance(message, int) else message  # a member of an enumeration is shown at length
