"""How a client of the chat proves who it is: a token, what gets one, a ticket, or a name for the demo login."""

from __future__ import annotations

import asyncio
import inspect
import json
import ssl
from collections.abc import Awaitable, Callable
from http.cookies import SimpleCookie
from urllib.request import Request, urlopen

from ..identity import COOKIE
from .refusal import LoginError

__all__ = ["Credentials", "Source"]

Source = Callable[[], Awaitable[str] | str]
"""Gets a new token or ticket, with or without ``await``. What it raises before the first welcome ends the client,
unless it is an OSError; later it is logged, and tried again."""

LOGIN_DEADLINE = 5.0  # seconds
NO_WAY = "pass a token that is good, or a function that gets a new one: token=get_token"


class Credentials:
    """What one client shows at the door, for each connection anew."""

    def __init__(
        self,
        address: str,
        *,
        token: str | Source | None = None,
        ticket: Source | None = None,
        name: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Show a `token` (bearer header), a `ticket` (in the address), or log in under a `name`.

        Raises:
            LoginError: none of the three is given, or several.
        """
        if sum(given is not None for given in (token, ticket, name)) != 1:
            raise LoginError("give one of token=, ticket= and name=, so that the server can know who this is")
        self._address = address
        self._token = token
        self._ticket = ticket
        self._name = name
        self._tls = tls
        self._kept: str | None = None  # of the demo login
        self._is_new = False

    async def show(self) -> tuple[dict[str, str], dict[str, str]]:
        """The headers and the query parameters for one connection.

        Raises:
            OSError: the demo login, or the function that gets a token, could not be reached.
        """
        self._is_new = not (isinstance(self._token, str) or self._kept)
        if self._ticket is not None:
            return {}, {"ticket": await _get(self._ticket)}
        if self._name is not None:
            self._kept = self._kept or await asyncio.to_thread(_log_in, self._address, self._name, self._tls)
            token = self._kept
        else:
            assert self._token is not None
            token = self._token if isinstance(self._token, str) else await _get(self._token)
        return {"Authorization": f"Bearer {token}"}, {}

    def can_renew(self, *, was_good: bool) -> bool:
        """Take note that the server wants to know who this is, and say whether another answer can be given.

        `was_good` is whether it had let the last one in; one that was new and was not let in is the last word.
        """
        self._kept = None
        return not isinstance(self._token, str) and (was_good or not self._is_new)


async def _get(source: Source) -> str:
    found = source()
    return await found if inspect.isawaitable(found) else found


def _log_in(address: str, name: str, tls: ssl.SSLContext | None) -> str:
    """A session of the demo login; it comes in a cookie, and serves as a bearer token as well."""
    body = json.dumps({"name": name}).encode()
    request = Request(f"{address}login", body, {"Content-Type": "application/json"}, method="POST")
    with urlopen(request, timeout=LOGIN_DEADLINE, context=tls) as answer:
        cookie = SimpleCookie(answer.headers.get("Set-Cookie", ""))
    if COOKIE not in cookie:
        raise LoginError(f"{address!r} has no demo login; {NO_WAY}")
    return cookie[COOKIE].value
