"""A live browser client: the reader's own browser opens a WebSocket to the kernel's server.

In local JupyterLab the browser connects directly; on JupyterHub, on Binder and wherever the
page comes from another machine it goes through jupyter-server-proxy, which hides close codes.
In JupyterLite, where the server is inside the page, the kernel connects for the page.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anywidget
import traitlets

from server.testing.target import Served

from .kernel_socket import KernelSockets

__all__ = ["BrowserClient"]

EVENTS_KEPT = 1_000

Event = dict[str, Any]


class BrowserClient(anywidget.AnyWidget):
    """A pane in the notebook whose WebSocket is opened by your own browser: ``BrowserClient(server, "/ws")``.

    `server` is a running server, a tap, or a port of this machine. The pane connects when it is shown
    and closes its socket when it is removed. A handshake that gets no answer within 10 s is given up.

    With ``reconnect=True``, the pane connects again after a close that you did not ask for, up to 8
    times. Before each attempt it waits for a random time between 0 and 0.5, 1, 2, … 10 seconds, or
    until the network is back or the page is shown again. After 1013 (try again later) the first wait
    is up to 5 seconds, and after 4002 (kicked for spam) 30 to 35 seconds, and nothing shortens it.
    The close codes 1000, 4001, 4003 and 4004 are final.

    `idle_timeout` is how many seconds may pass without a message from the server. Then the path
    counts as dead: the pane drops the socket, says so, and connects again if `reconnect` is true. A
    page can't see the server's pings, so the server has to send messages. `ping` is a text that your
    server answers; the pane sends it after half of that time. **By default there is no limit**: a
    server that only answers, such as an echo, is silent as long as the client is, and a limit
    without a `ping` would end its healthy connections.

    `events` and calls of `on_event` are updated between two cells and while a cell awaits, but not
    while a cell blocks. In such a cell, wait for what the server sees.

    Raises:
        ValueError: the path does not begin with a slash, the server speaks TLS, or `idle_timeout` is
            not above 0 or is missing although there is a `ping`.
    """

    _esm = Path(__file__).with_name("browser.js")
    _css = Path(__file__).with_name("browser.css")
    _port = traitlets.Int().tag(sync=True)
    _path = traitlets.Unicode().tag(sync=True)
    _subprotocols = traitlets.List(traitlets.Unicode()).tag(sync=True)
    _reconnect = traitlets.Bool().tag(sync=True)
    _idle_timeout = traitlets.Float(allow_none=True).tag(sync=True)
    _ping = traitlets.Unicode(allow_none=True).tag(sync=True)
    _through_kernel = traitlets.Bool().tag(sync=True)

    def __init__(
        self,
        server: Served | int,
        path: str = "/ws",
        *,
        subprotocols: Sequence[str] | None = None,
        reconnect: bool = False,
        idle_timeout: float | None = None,
        ping: str | None = None,
        on_event: Callable[[Event], object] | None = None,
    ) -> None:
        if not path.startswith("/"):
            raise ValueError(f"path must begin with a slash, got {path!r}; write {'/' + path!r}")
        if idle_timeout is not None and not idle_timeout > 0:
            raise ValueError(f"idle_timeout must be above 0 seconds, got {idle_timeout!r}; None is for no limit")
        if ping is not None and idle_timeout is None:
            raise ValueError(f"ping {ping!r} is sent after half of idle_timeout; pass idle_timeout in seconds as well")
        self._state = "closed"
        self._events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self._on_event = on_event
        in_page = sys.platform == "emscripten"
        self._sockets = KernelSockets(super().send) if in_page else None
        super().__init__(
            _port=_port_of(server),
            _path=path,
            _subprotocols=list(subprotocols or ()),
            _reconnect=reconnect,
            _idle_timeout=idle_timeout,
            _ping=ping,
            _through_kernel=in_page,
        )
        self.on_msg(self._reported)

    @property
    def state(self) -> str:
        """The socket's state: ``connecting``, ``open``, ``closing``, ``closed`` or ``waiting`` (to connect again)."""
        return self._state

    @property
    def events(self) -> list[Event]:
        """The last 1,000 events, oldest first, each a dict with its name under ``event``.

        ``open`` has `route` (``"direct"`` or ``"proxy"``) and `protocol`; ``message`` and ``sent`` have
        `data`; ``close`` has `code`, `reason` and `clean`; ``lost`` has `seconds`, the time in which
        nothing came; ``error`` has nothing, as in the browser; ``exception`` is what the browser
        refused to do, with `name` and `message`.
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
        if "socket" in report:
            assert self._sockets is not None, "only a page that holds the kernel asks it for a socket"
            self._sockets.handle(report)
            return
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
