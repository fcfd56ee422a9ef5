"""The errors of the HTTP routes: too many requests (429), a broker that is unavailable (503, 507), bad input (422)."""

from __future__ import annotations

import math
from ipaddress import IPv6Address, ip_address

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from ..broker import LogFullError, UnavailableError
from ..messages.shorten import shorten
from .rate_limits import RateLimiter

__all__ = ["client_address", "enforce_rate_limit", "invalid_request", "unavailable"]

LONGEST_ECHO = 64  # characters of a client's input that an error repeats
MOST_ERRORS = 20  # in one response
UNAVAILABLE_SECONDS = 1  # the Retry-After while the broker is unavailable
FULL_SECONDS = 60  # the same while its log is full: old records must expire, or an operator must make room


def unavailable(error: UnavailableError) -> HTTPException:
    """Return the error for a broker that can't be reached (503) or whose log is full (507)."""
    if isinstance(error, LogFullError):
        retry = {"Retry-After": str(FULL_SECONDS)}
        return HTTPException(507, "the log is full, nothing was stored; try again later", headers=retry)
    return HTTPException(503, "the log is unavailable; try again", headers={"Retry-After": str(UNAVAILABLE_SECONDS)})


def client_address(request: Request) -> str:
    """Return the client's address; in IPv6 its first 64 bits, because one customer has all of the rest."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host  # such as "testclient" of Starlette's TestClient
    is_network = isinstance(address, IPv6Address) and address.ipv4_mapped is None
    return address.packed[:8].hex() if is_network else host


async def enforce_rate_limit(limiter: RateLimiter, user: str, amount: int = 1, most: str = "") -> None:
    """Count one request of a user or an address, or `amount` bytes; `most` describes the limit in the error.

    Raises:
        HTTPException: 429, the limit is exceeded.
    """
    if not await limiter.try_acquire(user, amount):
        retry = {"Retry-After": str(max(1, math.ceil(amount / limiter.rate)))}
        raise HTTPException(429, f"more than {most or f'{limiter.rate:g} requests per second'}", headers=retry)


async def invalid_request(request: Request, error: Exception) -> JSONResponse:
    """Answer a request that fails validation with 422, and say for each error what is wrong and where.

    FastAPI's own handler repeats the input, and fails with 500 if JSON can't represent it: half a character, NaN.
    """
    assert isinstance(error, RequestValidationError)
    detail = [{"loc": [_short(step) for step in found["loc"]], "msg": found["msg"]} for found in error.errors()]
    return JSONResponse({"detail": detail[:MOST_ERRORS]}, 422)


def _short(step: str | int) -> str | int:
    # the client chooses the name of a field that doesn't exist
    return step if isinstance(step, int) else shorten(step.encode(errors="replace").decode(), LONGEST_ECHO)
