"""The handshake line by line, with the purpose of each header next to it: SVG with a text twin."""

from __future__ import annotations

from textwrap import wrap
from typing import NamedTuple

from .conversation import Conversation
from .exchange import Exchange, TapRequest, TapResponse
from .picture import Canvas, Picture, boxed, columns, excerpt
from .transcript import PLACEHOLDERS, scrubbed

__all__ = ["handshake_picture"]

WIDTH = 860
LEFT = 54  # characters of the left column
RIGHT = 62

PURPOSES = {
    "host": "which of the machine's sites is meant",
    "connection": "what holds for this hop only: here, that the protocol changes",
    "upgrade": "the protocol to change to",
    "sec-websocket-key": "16 random bytes in base64; the answer must be made from them",
    "sec-websocket-version": "the version of the WebSocket protocol; 13 is the only one",
    "sec-websocket-accept": "SHA-1 of the key and a fixed text: the server has understood",
    "sec-websocket-extensions": "extensions on offer; permessage-deflate is compression",
    "sec-websocket-protocol": "subprotocols on offer, the best one first",
    "origin": "the site whose page opens the socket; browsers send it, and no page can forge it",
    "cookie": "whatever cookies the browser has for this host, whichever page asks",
    "authorization": "who is asking; browsers cannot send it with a WebSocket",
    "user-agent": "the client's name and version",
    "server": "the server's name",
    "date": "when the server answered",
    "content-type": "what kind of body follows",
    "content-length": "how many bytes the body has",
    "transfer-encoding": "the body comes in chunks, each with its length in front",
    "cache-control": "who may keep a copy",
    "pragma": "the older word for: do not answer from a copy",
    "accept": "kinds of body that the client can read",
    "accept-encoding": "compressions of the body that the client can read",
    "accept-language": "languages that the reader prefers",
    "www-authenticate": "how to say who you are",
    "location": "where to ask instead",
}
ANSWERED = {
    "upgrade": "the protocol that begins now",
    "sec-websocket-extensions": "the extension that the server takes, and its settings",
    "sec-websocket-protocol": "the subprotocol that the server takes",
}
"""What the same headers are for in a response."""


class Line(NamedTuple):
    """A line of a head, what stands for its value, and what it is for."""

    name: str
    value: str
    stands: bool
    purpose: str


def handshake_picture(seen: Conversation | Exchange, title: str = "") -> Picture:
    """Draw a request and its response as they were sent, in order, with the purpose of each line.

    Key, accept value, date and port are shown by what they are, so that the picture is the same every time.

    Raises:
        ValueError: there is no HTTP request to draw.
    """
    if isinstance(seen, Conversation):
        seen.settle()
        if not seen.exchanges:
            raise ValueError("there is no HTTP request in this conversation; draw it with sequence()")
        seen = seen.exchanges[0]
    title = title or "The handshake, line by line"
    heads = [("client", "the client asks", _request(seen.request))]
    if seen.response is not None:
        heads.append(("server", "the server answers", _response(seen.response)))
    canvas = Canvas()
    canvas.text(24, 32, ("ink strong", title))
    y, text = 40.0, []
    for colour, name, head in heads:
        y = _panel(canvas, colour, name, head, y)
        text += [name, *_twin(head)]
    return Picture(canvas.svg(WIDTH, y + 18, title, ". ".join(text)), boxed(title, text), title)


def _request(request: TapRequest) -> list[Line]:
    upgrade = "upgrade" in request.headers
    purpose = "an ordinary GET: a WebSocket begins as HTTP" if upgrade else "method, path, version"
    return [_start(request.raw, purpose), *_lines(request)]


def _response(response: TapResponse) -> list[Line]:
    purpose = (
        "agreed: behind the empty line, the connection carries frames" if response.status == 101 else "no WebSocket"
    )
    return [_start(response.raw, purpose), *_lines(response)]


def _start(raw: bytes, purpose: str) -> Line:
    return Line(scrubbed(raw.partition(b"\r\n")[0].decode("latin-1")), "", False, purpose)


def _lines(message: TapRequest | TapResponse) -> list[Line]:
    purposes = PURPOSES | ANSWERED if isinstance(message, TapResponse) else PURPOSES
    found = []
    for name, value in message.headers.raw_items():
        stands = PLACEHOLDERS.get(name.lower())
        found.append(Line(name, stands or scrubbed(value), stands is not None, purposes.get(name.lower(), "")))
    return [*found, Line("", "", False, "an empty line ends the head")]


def _panel(canvas: Canvas, colour: str, name: str, head: list[Line], y: float) -> float:
    y += 20
    canvas.text(24, y, (f"strong {colour}", name))
    top, y = y + 8, y + 14
    for line in head:
        y += 18
        shown = excerpt(line.value, max(8, LEFT - len(line.name) - 2))
        separator = ": " if line.value else ""
        first = "mono strong ink" if line is head[0] else "mono soft"
        canvas.text(38, y, (first, line.name + separator), ("soft slant" if line.stands else "mono ink", shown))
        for index, piece in enumerate(wrap(line.purpose, RIGHT)):
            y += 15 * (index > 0)
            canvas.text(458, y, ("small soft", piece))
    canvas.path(f"M25.5 {top + 4:g}V{y + 8:g}", f"l l-{colour}")
    return y + 12


def _twin(head: list[Line]) -> list[str]:
    found = []
    for line in head:
        shown = excerpt(f"{line.name}: {line.value}" if line.value else line.name, LEFT)
        pieces = wrap(line.purpose, RIGHT) or [""]
        for index, piece in enumerate(pieces):
            left = shown if index == 0 else ""
            found.append(f"  {left}{' ' * (LEFT - columns(left))}  {piece}".rstrip())
    return found
