"""The addresses of a class: the join link for students, also as a QR code, and the teacher's link."""

from __future__ import annotations

import io
import socket
import sys

import segno
from fastapi import HTTPException
from starlette.requests import HTTPConnection

from ...access.http_errors import enforce_rate_limit
from ...access.rate_limits import RateLimiter

__all__ = ["QrCodes", "join_address", "join_instructions", "lan_address"]

LONGEST = 200  # characters of an address; drawing a QR code of 2,000 takes a quarter of a second
KEPT = 8  # QR codes that are cached
EVERY_NETWORK = ("0.0.0.0", "::", "")
ELSEWHERE = ("192.0.2.1", 9)  # RFC 5737: an address for documentation; connecting a UDP socket sends nothing


def lan_address(host: str = "0.0.0.0") -> str | None:
    """Return the address at which the local network reaches a server that listens on `host`, or None."""
    if host not in EVERY_NETWORK:
        return host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(ELSEWHERE)
            found: list[str] = [probe.getsockname()[0]]
        except OSError:  # no route, as in a network without a router
            found = _own_addresses()
    return next((address for address in found if not address.startswith("127.")), None)


def join_address(connection: HTTPConnection) -> str:
    """Return the address that students open, as seen from this connection to the server."""
    known: str | None = connection.app.state.classroom.join
    scheme = "https" if connection.base_url.is_secure else "http"
    return known or f"{connection.base_url.replace(scheme=scheme)}join"


class QrCodes:
    """QR codes of addresses, in SVG, with a cache.

    Drawing one blocks the loop for milliseconds, and anyone may ask for one. So each is drawn once. If the address
    comes from the Host header, which a client can choose, at most one new code is drawn each second.
    """

    def __init__(self) -> None:
        self._drawn: dict[str, bytes] = {}
        self._limit = RateLimiter(rate=1, burst=KEPT)

    async def draw(self, join: str) -> bytes:
        """Return the QR code of an address as SVG.

        Raises:
            HTTPException: 400, the address is too long; 429, too many other addresses were asked for.
        """
        if len(join) > LONGEST:
            raise HTTPException(400, f"an address of {len(join)} characters is too long to draw; at most {LONGEST}")
        if join not in self._drawn:
            await enforce_rate_limit(self._limit, "")
            if len(self._drawn) >= KEPT:
                del self._drawn[next(iter(self._drawn))]
            out = io.BytesIO()
            segno.make_qr(join).save(out, kind="svg", scale=8, light="white")
            self._drawn[join] = out.getvalue()
        return self._drawn[join]

    def close(self) -> None:
        """Reset the rate limit; for a server that stops."""
        self._limit.clear()


def join_instructions(join: str | None, teacher: str) -> str:
    """Return what is printed at the start: both links, and the QR code if the terminal can show one."""
    if join is None:
        where = "This machine isn't in a network from which students could reach it. Join one, or pass --host ADDRESS."
    else:
        where = f"Students open  {join}\n{_drawn(join)}"
    return (
        f"\n{where}\nYou open       {teacher}\n               (keep it secret: anyone who has it controls the class)\n"
    )


def _drawn(text: str) -> str:
    out = io.StringIO()
    segno.make_qr(text).terminal(out, compact=True)
    drawn = out.getvalue()
    if sys.stdout.isatty():  # dark on light, whatever colours the terminal has
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
