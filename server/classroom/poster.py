"""What a class needs to come in: the address that students open, also as a QR code, and the teacher's own."""

from __future__ import annotations

import io
import socket
import sys

import segno
from starlette.requests import HTTPConnection

__all__ = ["address_in_network", "join_address", "picture", "poster"]

EVERY_NETWORK = ("0.0.0.0", "::", "")
ELSEWHERE = ("192.0.2.1", 9)  # RFC 5737: an address that nobody has; to choose a way to it sends nothing


def address_in_network(host: str = "0.0.0.0") -> str | None:
    """The address under which others in the network find a server that listens on `host`; None where there is none."""
    if host not in EVERY_NETWORK:
        return host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        try:
            way.connect(ELSEWHERE)
            found: list[str] = [way.getsockname()[0]]
        except OSError:  # no way out, as in a network without a router
            found = _own_addresses()
    return next((address for address in found if not address.startswith("127.")), None)


def join_address(connection: HTTPConnection) -> str:
    """The address that students open, for somebody who has come to the same server."""
    known: str | None = connection.app.state.classroom.join
    scheme = "https" if connection.base_url.is_secure else "http"
    return known or f"{connection.base_url.replace(scheme=scheme)}join"


def picture(join: str) -> bytes:
    """The address as a QR code, in SVG."""
    out = io.BytesIO()
    segno.make_qr(join).save(out, kind="svg", scale=8, light="white")
    return out.getvalue()


def poster(join: str | None, teacher: str) -> str:
    """What is printed at the start: the addresses, and the QR code where the terminal can show one."""
    if join is None:
        where = "This machine is in no network that others could find it in. Join one, or pass --host ADDRESS."
    else:
        where = f"Students open  {join}\n{_drawn(join)}"
    return f"\n{where}\nYou open       {teacher}\n               (keep it to yourself: who has it leads the class)\n"


def _drawn(text: str) -> str:
    out = io.StringIO()
    segno.make_qr(text).terminal(out, compact=True)
    drawn = out.getvalue()
    if sys.stdout.isatty():  # white is light and black is dark, whatever colours the terminal has
        drawn = "\n".join(f"\x1b[97;40m{line}\x1b[0m" for line in drawn.splitlines())
    try:
        drawn.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return ""
    return drawn


def _own_addresses() -> list[str]:
    try:
        return [str(found[4][0]) for found in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)]
    except OSError:
        return []
