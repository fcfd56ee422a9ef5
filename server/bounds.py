"""What an HTTP request is answered that comes too often, in vain, or is not what was expected."""

from __future__ import annotations

import math
from ipaddress import IPv6Address, ip_address

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from .limits import RateLimiter

__all__ = ["address_of", "away", "invalid", "take"]

LONGEST_ECHO = 64  # characters of a client's own words that an answer repeats
MOST_MISTAKES = 20  # that one answer names
AWAY_SECONDS = 1  # until a client may ask again that was told that the log is away


def away() -> HTTPException:
    """The answer while the log does not answer: 503."""
    return HTTPException(503, "the log is away; try again", headers={"Retry-After": str(AWAY_SECONDS)})


def address_of(request: Request) -> str:
    """Where a request comes from; in IPv6 the first half of the address, for one customer has all of the second."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host  # such as the "testclient" of Starlette
    is_network = isinstance(address, IPv6Address) and address.ipv4_mapped is None
    return address.packed[:8].hex() if is_network else host


async def take(limiter: RateLimiter, user: str) -> None:
    """Count one request of a user, or of an address.

    Raises:
        HTTPException: 429, it is one too many.
    """
    if not await limiter.take(user):
        retry = {"Retry-After": str(max(1, math.ceil(1 / limiter.rate)))}
        raise HTTPException(429, f"more than {limiter.rate:g} requests per second", headers=retry)


async def invalid(request: Request, error: Exception) -> JSONResponse:
    """The answer to a request that is not what a route expects: 422, and for each mistake where and what.

    FastAPI's own repeats what it was sent, and fails with 500 where no JSON can carry that: half a character, NaN.
    """
    assert isinstance(error, RequestValidationError)
    detail = [{"loc": [_short(step) for step in found["loc"]], "msg": found["msg"]} for found in error.errors()]
    return JSONResponse({"detail": detail[:MOST_MISTAKES]}, 422)


def _short(step: str | int) -> str | int:
    # a field that does not exist has a name of the client's choice
    return step if isinstance(step, int) else step.encode(errors="replace").decode()[:LONGEST_ECHO]
