"""The handshake line by line, with the purpose of each header next to it; `stepper` shows it."""

from __future__ import annotations

from typing import NamedTuple

from ..tap.http import TapRequest, TapResponse
from ..tap.transcript import PLACEHOLDERS, scrubbed

__all__ = ["Line", "request_lines", "response_lines"]

PURPOSES = {
    "host": "which site is wanted: one machine can serve several",
    "connection": "the Upgrade line is meant for this connection only",
    "upgrade": "the protocol to change to",
    "sec-websocket-key": "16 random bytes, written as text",
    "sec-websocket-version": "the version of the WebSocket protocol; 13 is the only one",
    "sec-websocket-accept": "made from the key",
    "sec-websocket-extensions": "extensions on offer; permessage-deflate is compression",
    "sec-websocket-protocol": "subprotocols on offer, the best one first",
    "origin": "the site whose page opens the socket; browsers send it, and no page can forge it",
    "cookie": "the cookies that the browser has for this host; SameSite says for whose pages",
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


def request_lines(request: TapRequest) -> list[Line]:
    """Return the lines of a request's head with the purpose of each."""
    upgrade = "upgrade" in request.headers
    purpose = "an ordinary GET: a WebSocket begins as HTTP" if upgrade else "method, path, version"
    return [_start(request.raw, purpose), *_lines(request)]


def response_lines(response: TapResponse) -> list[Line]:
    """Return the lines of a response's head with the purpose of each."""
    purpose = (
        "agreed: after the empty line, the connection carries WebSocket messages"
        if response.status == 101
        else "no WebSocket"
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
    return [*found, Line("", "", False, "an empty line ends the headers")]
