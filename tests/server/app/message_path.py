"""The path of one message through the server, recorded: ``python -m tests.server.app.message_path`` draws it in docs/.

A path is every function of `server` that runs from the bytes that arrive to the bytes that leave, in the order of
their first call.
"""

from __future__ import annotations

import ast
import asyncio
import html
import inspect
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import httpx
from pydantic import SecretStr
from starlette.types import ASGIApp, Receive, Scope, Send
from websockets.sync.client import ClientConnection, connect

import server as package
from server import BackgroundServer, serve
from server.app import create_app
from server.settings import Settings
from tests.server.people import KEY
from tests.server.recipients import bearer

ROOT = Path(package.__file__).parent
DOCS = ROOT.parent / "docs"
DEADLINE = 60.0  # seconds
COMMAND = "python -m tests.server.app.message_path"

BACKGROUND = (
    "_sweep",
    "sweep",
    "_idle_since",
    "topics",
    "main_loop",
    "_announce",
    "PresenceTracker",
    "WaitingRequests",
    "_app_with_cause",
    "_Router",
)
"""Functions that run by the clock, or belong to the server of a test: not part of a message's path."""
EXPRESSIONS = ("<genexpr>", "<listcomp>", "<dictcomp>", "<setcomp>")
"""Code objects that are no functions to look up; from Python 3.12 on most of them are part of the function itself."""


class Hop(NamedTuple):
    """One function on the path."""

    file: str
    """Relative to ``server/``."""
    function: str
    reason: str
    """The first line of its docstring; empty if it has none."""

    def __str__(self) -> str:
        return f"{self.file} {self.function}{self.reason and f'  # {self.reason}'}"


class Trace:
    """An app that records what runs on its server's loop."""

    def __init__(self, app: ASGIApp) -> None:
        self.path: list[Hop] = []
        self._seen: set[CodeType] = set()
        self._app = app
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, and note the loop."""
        self._loop = asyncio.get_running_loop()
        await self._app(scope, receive, send)

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Record for the length of the block."""
        self.path.clear()
        self._on_loop(self._note)
        try:
            yield
        finally:
            self._on_loop(None)

    def _on_loop(self, profile: Any) -> None:
        assert self._loop is not None
        done = threading.Event()

        def run() -> None:
            sys.setprofile(profile)
            done.set()

        self._loop.call_soon_threadsafe(run)
        assert done.wait(DEADLINE)

    def _note(self, frame: FrameType, event: str, arg: Any) -> None:
        code = frame.f_code
        if event != "call" or code in self._seen or not code.co_filename.startswith(str(ROOT)):
            return
        self._seen.add(code)
        if code.co_name not in EXPRESSIONS and not any(part in BACKGROUND for part in code.co_qualname.split(".")):
            file = str(Path(code.co_filename).relative_to(ROOT))
            self.path.append(Hop(file, code.co_qualname, _first_line(code)))


@contextmanager
def traced_server() -> Iterator[tuple[Trace, BackgroundServer]]:
    """Serve a chat with its log in memory, and with the protocol that ``python -m server`` uses."""
    settings = Settings(key=SecretStr(KEY), broker="memory:")
    traced = Trace(create_app(settings))
    with serve(traced, **settings.uvicorn_options) as server:
        yield traced, server


def chat_message() -> list[Hop]:
    """Record the path from one member of a room to both."""
    with traced_server() as (trace, server), _client(server, "ana") as ana, _client(server, "ben") as ben:
        for member in (ana, ben):
            member.send('{"type":"join","room":"lobby"}')
            _receive(member, "joined")
        _receive(ana, "presence")  # about Ben, a moment later
        _settle(ana)
        with trace.recorded():
            ana.send('{"type":"say","room":"lobby","text":"hello"}')
            _receive(ana, "message")
            _receive(ben, "message")
        return list(trace.path)


def notification() -> list[Hop]:
    """Record the path from a program over HTTP to the one device that watches."""
    with (
        traced_server() as (trace, server),
        _client(server, "ana") as ana,
        httpx.Client(base_url=server.http(), trust_env=False) as shop,
    ):
        ana.send('{"type":"watch"}')
        _receive(ana, "inbox")
        _settle(ana)
        with trace.recorded():
            note = {"kind": "order", "text": "shipped"}
            answer = shop.post("/users/ana/notifications", json=note, headers=bearer("shop", scope="push"))
            assert answer.status_code == 202
            _receive(ana, "notification")
        return list(trace.path)


def files(path: list[Hop]) -> dict[str, list[Hop]]:
    """Group a path by file, in the order of the first visit."""
    found: dict[str, list[Hop]] = {}
    for hop in path:
        found.setdefault(hop.file, []).append(hop)
    return found


def document() -> dict[str, str]:
    """Return the files of docs/ that show both paths: two pictures, and a page with the same as text."""
    paths = {"chat-message": chat_message(), "notification": notification()}
    text = [
        "# The path of one message\n",
        f"Recorded and written by `{COMMAND}`; a test fails when it is out of date.\n",
    ]
    pictures = {}
    for name, path in paths.items():
        title = name.replace("-", " ").capitalize()
        steps = list(files(path))
        pictures[f"{name}.svg"] = _picture(f"The path of a {name.replace('-', ' ')} through server/", steps)
        text += [
            f"## {title}\n",
            f"![{title}: {', '.join(steps)}]({name}.svg)\n",
            "| | file | what it is |",
            "|---|---|---|",
        ]
        text += [
            f"| {number} | [`{step}`](../server/{step}) | {_purpose(step)} |" for number, step in enumerate(steps, 1)
        ]
        text.append("")
    return pictures | {"one-message.md": "\n".join(text)}


def _picture(title: str, steps: list[str]) -> str:
    line, width = 34, 1_060
    rows = []
    for number, step in enumerate(steps):
        y = 48 + number * line
        folder = step.rpartition("/")[0].partition("/")[0]
        rows.append(
            f'<rect class="{folder or "top"}" x="16" y="{y}" width="{width - 32}" height="{line - 8}" rx="5"/>'
            f'<text x="28" y="{y + 18}"><tspan class="file">{number + 1} · {step}</tspan>'
            f'<tspan x="300">{html.escape(_shortened(_purpose(step), 112))}</tspan></text>'
        )
    style = (
        "text{font:12px system-ui,sans-serif;fill:#1b1f24}.file{font-weight:600}.title{font-size:15px;font-weight:600}"
        "rect{fill:#eef1f4}.background{fill:#fff}.wire{fill:#dbeafe}.app{fill:#dcfce7}.broker{fill:#fef3c7}"
        ".access{fill:#fce7f3}.messages{fill:#ede9fe}"
    )
    label = html.escape(f"{title}: {', '.join(steps)}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{label}" '
        f'viewBox="0 0 {width} {56 + len(steps) * line}"><title>{html.escape(title)}</title><style>{style}</style>'
        f'<rect class="background" width="100%" height="100%"/>'
        f'<text class="title" x="16" y="30">{html.escape(title)}</text>\n' + "\n".join(rows) + "\n</svg>\n"
    )


def _purpose(file: str) -> str:
    """Return the first sentence of a module's docstring."""
    doc = ast.get_docstring(ast.parse((ROOT / file).read_text(encoding="utf-8"))) or ""
    return " ".join(doc.partition("\n\n")[0].split()).replace("``", "`").rstrip(".")


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most].rpartition(' ')[0].rstrip(',;:')} …"


def _first_line(code: CodeType) -> str:
    has_doc = sys.version_info < (3, 13) or code.co_flags & getattr(inspect, "CO_HAS_DOCSTRING", 0x4000000)
    doc = code.co_consts[0] if has_doc and code.co_consts else None
    return doc.strip().partition("\n")[0] if isinstance(doc, str) else ""


def _client(server: BackgroundServer, user: str) -> ClientConnection:
    return connect(server.url("/ws"), additional_headers=bearer(user), proxy=None, compression=None)


def _receive(websocket: ClientConnection, kind: str) -> None:
    while f'"type":"{kind}"' not in str(websocket.recv(timeout=DEADLINE)):
        pass


def _settle(websocket: ClientConnection) -> None:
    """Wait until the server has handled everything before."""
    websocket.ping().wait(DEADLINE)


if __name__ == "__main__":
    for name, content in document().items():
        (DOCS / name).write_text(content, encoding="utf-8")
