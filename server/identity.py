"""Who are you: a login for demonstrations, tickets over HTTP, and the door of the WebSocket.

A program sends ``Authorization: Bearer …``, to the WebSocket itself or for a ticket. A page has a
cookie, which counts only together with an Origin that is allowed, and gets a ticket with it.
"""

from __future__ import annotations

import secrets
from typing import Annotated, NoReturn

from fastapi import APIRouter, HTTPException, Request, Response, WebSocket, WebSocketException
from pydantic import AfterValidator, BaseModel, StringConstraints

from .bounds import address_of, take
from .errors import StartError
from .handshake import Handshake
from .limits import RateLimiter
from .messages import CloseCode
from .names import visible
from .settings import Settings
from .tickets import Session, Tickets, issue_session, verify_session

__all__ = ["COOKIE", "Door", "Login", "Ticket", "key_of", "refuse"]

COOKIE = "chat_session"

UserName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=32, pattern=r"^[\p{L}\p{N}][\p{L}\p{N}\p{M} ._'-]*$"),
    AfterValidator(visible),
]


class Login(BaseModel):
    """Ask for a session under a name; only where the demo login is on."""

    name: UserName
    """1 to 32 letters, digits, spaces, dots, hyphens, underscores or apostrophes; a letter or digit first."""


class Ticket(BaseModel):
    """A pass for one connection: ``/ws?ticket=…``."""

    ticket: str
    user: str
    """Whose connection it will be."""
    expires_in: int
    """Seconds in which it must be used."""


def key_of(settings: Settings) -> str:
    """The secret that signs; in a demonstration without one, a random secret that dies with the process.

    Raises:
        StartError: there is none, and nobody asked for the demo login.
    """
    if settings.key is not None:
        return settings.key.get_secret_value()
    if settings.demo_login:
        return secrets.token_urlsafe(32)
    raise StartError(
        "no key is set, so nobody could prove who they are; set CHAT_KEY to a secret of 32 characters or more, "
        "or ask for the demo login with CHAT_DEMO_LOGIN=true"
    )


class Door:
    """Decides who somebody is, for the HTTP routes and for the WebSocket."""

    def __init__(self, settings: Settings) -> None:
        """Take the key, the origins and the seconds from `settings`.

        Raises:
            StartError: no key is set and the demo login was not asked for.
            ValueError: one of the origins is none.
        """
        self._settings = settings
        self._key = key_of(settings)
        self._tickets = Tickets(key=self._key, seconds=settings.ticket_seconds)
        self._asked = RateLimiter(rate=settings.tickets_per_second, burst=settings.ticket_burst)  # by user
        self._logins = RateLimiter(rate=settings.logins_per_second, burst=settings.login_burst)  # by address
        Handshake(origins=settings.origins)  # a mistake in the origins is told at the start, not to a client

    @property
    def routes(self) -> APIRouter:
        """``POST /ticket``, and ``POST`` and ``DELETE /login`` where the demo login is on."""
        router = APIRouter(tags=["who are you"])
        router.post("/ticket", summary="A pass for one connection")(self.issue_ticket)
        if self._settings.demo_login:
            size = self._settings.message_bytes
            router.post("/login", status_code=204, max_body_size=size, summary="Log in under any name")(self.log_in)
            router.delete("/login", status_code=204, summary="Log out")(self.log_out)
        return router

    def close(self) -> None:
        """Forget who has asked how often."""
        self._asked.clear()
        self._logins.clear()

    async def admit(self, websocket: WebSocket) -> Session:
        """Whose connection this is, before ``accept()``, from a header, a ticket or a cookie with an Origin.

        Raises:
            HTTPException: refused, for a program.
            WebSocketException: refused, for a page.
        """
        # in the order in which a handshake looks for a token
        bearer = websocket.headers.get("authorization", "").lower().startswith("bearer ")
        by_ticket = "ticket" in websocket.query_params and not bearer
        sessions: list[Session] = []

        def verify(token: str) -> str | None:
            # a session stands in no address, and a ticket in no header: each is refused as the other
            session = self._tickets.redeem(token) if by_ticket else verify_session(token, key=self._key)
            if session is None:
                return None
            sessions.append(session)
            return session.user

        await Handshake(origins=self._settings.origins, verify=verify, cookie=COOKIE)(websocket)
        return sessions[0]

    def identify(self, request: Request, *, scope: str = "") -> Session:
        """Who asks for something over HTTP: by a bearer token, or a cookie where no `scope` is needed.

        A page of another origin may ask for nothing. A browser says the origin with every request that could change
        something, and with every one to another origin whose answer the page could read; with the rest it says at
        least that they come from another site.

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
            raise HTTPException(403, f"that takes a token with the scope {scope!r}")
        return session

    # the HTTP routes

    async def issue_ticket(self, request: Request, response: Response) -> Ticket:
        """Give a pass for one connection to whoever has a bearer token, or a cookie and an allowed Origin."""
        session = self.identify(request)
        await take(self._asked, session.user)
        response.headers["Cache-Control"] = "no-store"
        ticket = self._tickets.issue(session)
        return Ticket(ticket=ticket, user=session.user, expires_in=self._tickets.seconds)

    async def log_in(self, login: Login, request: Request, response: Response) -> None:
        """Set the cookie of a session under this name; there is no password, so anybody can be anybody."""
        self._check_origin(request)
        await take(self._logins, address_of(request))
        seconds = self._settings.session_seconds
        self._set_cookie(request, response, issue_session(login.name, key=self._key, seconds=seconds), seconds)

    async def log_out(self, request: Request, response: Response) -> None:
        """Take the cookie back; connections that are open stay open."""
        self._check_origin(request)
        self._set_cookie(request, response, "", 0)

    def _check_origin(self, request: Request) -> None:
        origin = request.headers.get("origin")
        own = f"{request.url.scheme}://{request.headers.get('host', '')}"
        foreign = origin is not None and origin not in (own, *self._settings.origins)
        # a page's GET may come without an Origin: what it says instead is only there in a browser
        if foreign or (origin is None and request.headers.get("sec-fetch-site") in ("cross-site", "same-site")):
            raise HTTPException(403, "pages of this origin may not do that")

    def _set_cookie(self, request: Request, response: Response, token: str, seconds: int) -> None:
        response.set_cookie(
            COOKIE,
            token,
            max_age=seconds,
            path=None,  # the folder that the page sees, which behind a proxy is not the one seen here
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )


async def refuse(websocket: WebSocket, status: int, code: CloseCode, reason: str) -> NoReturn:
    """Refuse a connection that has not been accepted, so that a program and a page can each read why.

    Raises:
        HTTPException: for a program, with `status`.
        WebSocketException: for a page, after accepting, with `code`: a browser shows a page no status.
    """
    if "origin" not in websocket.headers:
        raise HTTPException(status, reason)
    await websocket.accept()
    raise WebSocketException(code, reason)
