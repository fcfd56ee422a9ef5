"""Sessions and tickets: signed, limited in time, each good for one purpose, and a ticket for one use."""

from __future__ import annotations

import base64
import time
from typing import Any

import jwt
import pytest

import server.access.tokens
from server.access.tokens import Session, Tickets, issue_session, verify_session

KEY = "a secret of thirty-two characters"
OTHER = "another secret of 32 characters.."
ANA = Session(user="ana", expires=time.time() + 3600)


@pytest.fixture
def tickets() -> Tickets:
    """With the defaults."""
    return Tickets(key=KEY)


def forged(**claims: Any) -> str:
    """A token with these claims, or without those that are None, signed with the right key."""
    later = time.time() + 60
    every = {"sub": "ana", "exp": later, "aud": "chat-ticket", "jti": "1", "until": later, "issued": later}
    return jwt.encode({name: value for name, value in (every | claims).items() if value is not None}, KEY)


def test_a_session_comes_back() -> None:
    """The name and the end of what was issued, whatever letters the name has."""
    session = verify_session(issue_session("Ana Müller 😀", key=KEY, seconds=60), key=KEY)
    assert session is not None
    assert session.user == "Ana Müller 😀"
    assert 58 < session.expires - time.time() <= 60


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x.y.z",
        issue_session("ana", key=OTHER, seconds=60),
        issue_session("ana", key=KEY, seconds=-1),
        issue_session("", key=KEY, seconds=60),
        issue_session("a" * 201, key=KEY, seconds=60),
        issue_session("\ud800", key=KEY, seconds=60),
        jwt.encode({"sub": "ana", "aud": "chat"}, KEY),
        jwt.encode({"sub": 7, "aud": "chat", "exp": 1e12}, KEY),
        jwt.encode({"sub": "ana", "exp": 1e12}, KEY),
        jwt.encode({"sub": "ana", "aud": "chat", "exp": 1e12}, "", algorithm="none"),
        Tickets(key=KEY).issue(ANA),
    ],
    ids=[
        *["empty", "junk", "key", "expired", "nameless", "long", "half", "endless"],
        *["number", "audience", "unsigned", "ticket"],
    ],
)
def test_an_invalid_token_is_refused(token: str) -> None:
    """Forged, foreign, expired, incomplete, or made for something else."""
    assert verify_session(token, key=KEY) is None


def test_a_ticket_works_once(tickets: Tickets) -> None:
    """The first gets the session, with the session's own end, and the second gets nothing."""
    ticket = tickets.issue(ANA)
    assert tickets.redeem(ticket) == ANA
    assert tickets.redeem(ticket) is None


def test_two_tickets_of_one_session_are_two(tickets: Tickets) -> None:
    """Two tabs that ask in the same second can both connect."""
    first, second = tickets.issue(ANA), tickets.issue(ANA)
    assert tickets.redeem(first) == tickets.redeem(second) == ANA


def test_another_spelling_of_a_used_ticket_is_used_too(tickets: Tickets) -> None:
    """The last letter of a signature has two bits that mean nothing, so a ticket can be spelled in four ways."""
    ticket = tickets.issue(ANA)
    signature = base64.urlsafe_b64decode(ticket.rsplit(".", 1)[1] + "=")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spellings = [ticket[:-1] + letter for letter in alphabet]
    same = [one for one in spellings if base64.urlsafe_b64decode(one.rsplit(".", 1)[1] + "=") == signature]
    assert len(same) == 4
    assert [tickets.redeem(one) for one in same] == [ANA, None, None, None]


@pytest.mark.parametrize(
    "ticket",
    [
        "",
        Tickets(key=OTHER).issue(ANA),
        Tickets(key=KEY, seconds=-1).issue(ANA),
        issue_session("ana", key=KEY, seconds=60),
        forged(jti=None),
        forged(until=None),
        forged(sub=None),
        forged(exp=None),
        forged(issued=None),
    ],
    ids=["empty", "key", "expired", "session", "id", "until", "name", "endless", "issued"],
)
def test_an_invalid_ticket_is_refused(tickets: Tickets, ticket: str) -> None:
    """Nothing of it is remembered, so that junk costs no memory."""
    assert tickets.redeem(ticket) is None
    assert len(tickets) == 0


def test_a_ticket_does_not_outlive_its_session(tickets: Tickets) -> None:
    """A session that ends in five seconds gives no ticket for thirty."""
    ticket = tickets.issue(Session(user="ana", expires=time.time() + 5))
    assert jwt.decode(ticket, options={"verify_signature": False})["exp"] <= time.time() + 5


def test_used_tickets_are_forgotten_when_they_have_expired(tickets: Tickets, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is for what could still be used again, and for nothing else."""
    for _ in range(10):
        tickets.redeem(tickets.issue(ANA))
    assert len(tickets) == 10
    later = time.time() + 31
    monkeypatch.setattr(server.access.tokens, "time", lambda: later)
    tickets.redeem(tickets.issue(ANA))
    assert len(tickets) == 1


def test_a_ticket_that_was_used_before_a_restart_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The new process cannot know which of the old ones were used, so it takes none; of its neighbours it takes all."""
    old, neighbour = Tickets(key=KEY), Tickets(key=KEY)
    used, unused = old.issue(ANA), old.issue(ANA)
    assert old.redeem(used) == ANA
    new = Tickets(key=KEY)
    for ticket in (used, unused):
        assert new.predates_start(ticket)
        assert new.redeem(ticket) is None
    fresh = neighbour.issue(ANA)
    assert not new.predates_start(fresh)
    assert not new.predates_start("junk")
    assert new.redeem(fresh) == ANA
    later = time.time() + 31
    monkeypatch.setattr(server.access.tokens, "time", lambda: later)
    assert not new.predates_start(unused)  # it has expired, as it would have without a restart


def test_with_too_many_used_tickets_new_ones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever floods the memory of used tickets cannot use one of them again by that."""
    tickets = Tickets(key=KEY, most=3)
    used = [tickets.issue(ANA) for _ in range(3)]
    assert all(tickets.redeem(one) for one in used)
    assert tickets.redeem(tickets.issue(ANA)) is None
    assert [tickets.redeem(one) for one in used] == [None] * 3
    later = time.time() + 31
    monkeypatch.setattr(server.access.tokens, "time", lambda: later)
    assert tickets.redeem(tickets.issue(ANA)) == ANA
