"""A live browser client: the reader's own browser opens a WebSocket to the kernel's server.

In local JupyterLab the browser connects directly; on JupyterHub, on Binder and wherever the
page comes from another machine it goes through jupyter-server-proxy, which hides close codes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import anywidget
import traitlets

__all__ = ["BrowserClient"]

EVENTS_KEPT = 1_000

Event = dict[str, Any]


class Served(Protocol):
    """Something that knows its address: a `server.BackgroundServer` or a `lab.Tap`."""

    def url(self, path: str = ...) -> str:
        """The WebSocket address of `path`."""


class BrowserClient(anywidget.AnyWidget):
    """A pane in the notebook that opens ``new WebSocket(…)`` from the reader's browser.

    `server` is a running server, a tap or a port of this machine. The pane connects when it is
    shown and closes its socket when it is removed. With ``reconnect=True`` it connects again
    after a close that nobody asked for, up to 8 times, after a random time between 0 and
    0.5, 1, 2, … 10 seconds; 1000 and 4001 to 4004 say that the server means it.

    What the browser saw arrives in `events` and at `on_event` between two cells, and while a
    cell awaits, but not while a cell blocks: there, wait for what its server sees.

    Raises:
        ValueError: the path does not begin with a slash, or the server speaks TLS.
    """

    _esm = Path(__file__).with_name("browser.js")
    _css = Path(__file__).with_name("browser.css")
    _port = traitlets.Int().tag(sync=True)
    _path = traitlets.Unicode().tag(sync=True)
    _subprotocols = traitlets.List(traitlets.Unicode()).tag(sync=True)
    _reconnect = traitlets.Bool().tag(sync=True)

    def __init__(
        self,
        server: Served | int,
        path: str = "/ws",
        *,
        subprotocols: Sequence[str] | None = None,
        reconnect: bool = False,
        on_event: Callable[[Event], object] | None = None,
    ) -> None:
        if not path.startswith("/"):
            raise ValueError(f"path must begin with a slash, got {path!r}; write {'/' + path!r}")
        self._state = "closed"
        self._events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self._on_event = on_event
        super().__init__(
            _port=_port_of(server), _path=path, _subprotocols=list(subprotocols or ()), _reconnect=reconnect
        )
        self.on_msg(self._reported)

    @property
    def state(self) -> str:
        """The socket's state: ``connecting``, ``open``, ``closing``, ``closed`` or ``waiting`` (to connect again)."""
        return self._state

    @property
    def events(self) -> list[Event]:
        """The last 1,000 events, oldest first, each a dict with its name under ``event``.

        ``open`` has `way` and `protocol`; ``message`` and ``sent`` have `data`; ``close`` has
        `code`, `reason` and `clean`; ``error`` has nothing, as in the browser; ``exception`` is
        what the browser refused to do, with `name` and `message`.
        """
        return list(self._events)

    def connect(self) -> None:
        """Ask the browser to connect, unless it is connected."""
        self._command("connect")

    def send(self, text: str, buffers: object = None) -> None:
        """Ask the browser to send `text`, as soon as its socket is open; up to 100 texts wait for that.

        (`buffers` is ipywidgets' own; it is not used.)
        """
        self._command("send", text=text)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Ask the browser to close; it refuses codes other than 1000 and 3000 to 4999."""
        self._command("close", code=code, reason=reason)

    def __repr__(self) -> str:
        path = self._path.partition("?")[0]  # a query may hold a ticket, which differs at each run
        return f"BrowserClient({path!r}) — run this cell in JupyterLab to open a WebSocket from your browser"

    def _command(self, command: str, **detail: object) -> None:
        super().send({"command": command} | detail)

    def _reported(self, _widget: object, report: dict[str, Any], _buffers: object) -> None:
        self._state = report["state"]
        for event in report["events"]:
            self._events.append(event)
            if self._on_event is not None:
                self._on_event(event)


def _port_of(server: Served | int) -> int:
    if isinstance(server, int):
        return server
    url = urlsplit(server.url("/"))
    if url.scheme == "wss":
        raise ValueError("your browser does not trust the server's throw-away authority; serve without TLS here")
    assert url.port is not None
    return url.port
