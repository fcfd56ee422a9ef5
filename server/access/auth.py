"""Authentication: a login for demonstrations, tickets over HTTP, and the check of each WebSocket handshake.

A program sends ``Authorization: Bearer …``, to the WebSocket itself or to get a ticket. A page has a
cookie, which counts only together with an allowed Origin, and gets a ticket with it.
"""

from __future__ import annotations

import secrets
from typing import Annotated, NoReturn

from fastapi import APIRouter, HTTPException, Request, Response, WebSocket, WebSocketException
from pydantic import BaseModel, StringConstraints, WrapValidator

from ..errors import StartError
from ..handshake import BAD_CREDENTIALS, Handshake
from ..messages import CloseCode
from ..messages.names import validate_name
from ..settings import Settings
from .http_errors import client_address, enforce_rate_limit
from .rate_limits import RateLimiter
from .tokens import Session, Tickets, issue_session, verify_session

__all__ = ["COOKIE", "Authenticator", "Login", "Ticket", "refuse", "signing_key"]

COOKIE = "chat_session"
FOREIGN = "pages of this origin may not do this"

UserName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=32, pattern=r"^[\p{L}\p{N}][\p{L}\p{N}\p{M} ._'-]*$"),
    WrapValidator(validate_name),
]


class Login(BaseModel):
    """A request for a session under any name; only with the demo login."""

    name: UserName
    """1 to 32 letters, digits, spaces, dots, hyphens, underscores or apostrophes; a letter or digit first."""


class Ticket(BaseModel):
    """A pass for one connection: ``/ws?ticket=…``."""

    ticket: str
    user: str
    """Whose connection it will be."""
    expires_in: int
    """Seconds until it expires."""


def signing_key(settings: Settings) -> str:
    """Return the secret that signs tokens; with the demo login and no key, a random one for this process.

    Raises:
        StartError: no key is set, and the demo login is off.
    """
    if settings.key is not None:
        return settings.key.get_secret_value()
    if settings.demo_login:
        return secrets.token_urlsafe(32)
    raise StartError(
        "no key is set, so nobody could prove who they are; set CHAT_KEY to a secret of 32 characters or more, "
        "or ask for the demo login with CHAT_DEMO_LOGIN=true"
    )


class Authenticator:
    """Identifies the user of each HTTP request and each WebSocket."""

    def __init__(self, settings: Settings) -> None:
        """Use the key, the origins, the limits and the lifetimes in `settings`.

        Raises:
            StartError: no key is set, and the demo login is off.
            ValueError: an entry of `origins` is not an origin.
        """
        self._settings = settings
        self._key = signing_key(settings)
        self._tickets = Tickets(key=self._key, seconds=settings.ticket_seconds)
        self._ticket_limiter = RateLimiter(rate=settings.tickets_per_second, burst=settings.ticket_burst)  # by user
        self._login_limiter = RateLimiter(rate=settings.logins_per_second, burst=settings.login_burst)  # by address
        self._handshake = Handshake(origins=settings.origins, hosts=settings.hosts, cookie=COOKIE)

    @property
    def routes(self) -> APIRouter:
        """``POST /ticket``; with the demo login also ``POST`` and ``DELETE /login``."""
        router = APIRouter(tags=["authentication"])
        router.post("/ticket", summary="Get a ticket for one connection")(self.issue_ticket)
        if self._settings.demo_login:
            size = self._settings.message_bytes
            router.post("/login", status_code=204, max_body_size=size, summary="Log in under any name")(self.log_in)
            router.delete("/login", status_code=204, summary="Log out")(self.log_out)
        return router

    def close(self) -> None:
        """Reset the rate limits."""
        self._ticket_limiter.clear()
        self._login_limiter.clear()

    async def authenticate_websocket(self, websocket: WebSocket) -> Session:
        """Return the session of a WebSocket before ``accept()``: from a header, a ticket, or a cookie with an Origin.

        Raises:
            HTTPException: refused; the client is a program.
            WebSocketException: refused; the client is a page.
        """
        # in the same order as `Handshake.find_token`
        bearer = websocket.headers.get("authorization", "").lower().startswith("bearer ")
        by_ticket = "ticket" in websocket.query_params and not bearer
        if by_ticket and self._tickets.predates_start(websocket.query_params["ticket"]):
            # not 4001: the user is logged in, and the next ticket will work
            reason = "the server has restarted, ask for another ticket"
            await refuse(websocket, 503, CloseCode.SERVICE_RESTART, reason)
        await self._handshake(websocket)
        # a session token must not come in the address, nor a ticket in a header
        token = self._handshake.find_token(websocket) or ""
        session = self._tickets.redeem(token) if by_ticket else verify_session(token, key=self._key)
        if session is None:
            await self._handshake.refuse(websocket, 401, CloseCode.AUTH_REQUIRED, BAD_CREDENTIALS)
        return session

    def authenticate_request(self, request: Request, *, scope: str = "") -> Session:
        """Return the session of an HTTP request: from a bearer token, or from a cookie if no `scope` is needed.

        Pages of other origins are refused. A browser sends Origin with every request that could change something,
        and with every cross-origin request whose response the page could read. With all others it sends at least
        Sec-Fetch-Site.

        Raises:
            HTTPException: 401 (who are you) or 403 (not from that page, or the token lacks the scope).
        """
        self._check_origin(request)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            token = "" if scope else request.cookies.get(COOKIE, "")
        session = verify_session(token.strip(), key=self._key)
        if session is None:
            raise HTTPException(401, "log in first", headers={"WWW-Authenticate": "Bearer"})
        if scope and scope not in session.scopes:
            raise HTTPException(403, f"this needs a token with the scope {scope!r}")
        return session

    # the HTTP routes

    async def issue_ticket(self, request: Request, response: Response) -> Ticket:
        """Issue a ticket for one connection; needs a bearer token, or a cookie and an allowed Origin."""
        session = self.authenticate_request(request)
        await enforce_rate_limit(self._ticket_limiter, session.user)
        response.headers["Cache-Control"] = "no-store"
        ticket = self._tickets.issue(session)
        return Ticket(ticket=ticket, user=session.user, expires_in=self._tickets.seconds)

    async def log_in(self, login: Login, request: Request, response: Response) -> None:
        """Set a session cookie for this name; there is no password, so anyone can use any name."""
        self._check_origin(request)
        await enforce_rate_limit(self._login_limiter, client_address(request))
        seconds = self._settings.session_seconds
        self._set_cookie(request, response, issue_session(login.name, key=self._key, seconds=seconds), seconds)

    async def log_out(self, request: Request, response: Response) -> None:
        """Delete the cookie; open connections stay open."""
        self._check_origin(request)
        self._set_cookie(request, response, "", 0)

    def _check_origin(self, request: Request) -> None:
        reason = None
        if "origin" in request.headers:
            reason = self._handshake.origin_error(request, FOREIGN)
        # a page's GET may come without an Origin; then browsers send this header, and programs don't
        elif request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            reason = FOREIGN
        if reason:
            raise HTTPException(403, reason)

    def _set_cookie(self, request: Request, response: Response, token: str, seconds: int) -> None:
        response.set_cookie(
            COOKIE,
            token,
            max_age=seconds,
            path=None,  # the folder of the page as the browser sees it, which a proxy may have changed
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )


async def refuse(websocket: WebSocket, status: int, code: CloseCode, reason: str) -> NoReturn:
    """Refuse a connection that has not been accepted, in a way that lets a program or a page read the reason.

    Raises:
        HTTPException: with `status`, for a program.
        WebSocketException: with `code`, for a page, after accepting: browsers don't tell a page the status.
    """
    if "origin" not in websocket.headers:
        raise HTTPException(status, reason)
    await websocket.accept()
    raise WebSocketException(code, reason)
