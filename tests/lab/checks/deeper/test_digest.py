"""The verdicts on the digest of deeper/four-ways: the stub, the solution, and the answers that people really give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from lab.checks.notifications import check_digest

from tests.lab.checks.verdicts import verdict

Answer = Callable[..., Any]

Notification = dict[str, Any]


def digest(missed: list[Notification], read: int, away: float) -> list[Notification]:
    """The solution of the exercise."""
    unread = [one for one in missed if one["position"] > read]
    kinds = Counter(one["kind"] for one in unread).items()
    text = ", ".join(f"{number} {kind}" for kind, number in kinds)
    return [{"position": unread[-1]["position"], "text": text}] if unread and away >= 3600 else unread


def stub_digest(missed: list[Notification], read: int, away: float) -> list[Notification]:
    """As the notebook has it."""
    raise NotImplementedError


def counts_read(missed: list[Notification], read: int, away: float) -> list[Notification]:
    """Forgets the read mark."""
    return digest(missed, 0, away)


def late(missed: list[Notification], read: int, away: float) -> list[Notification]:
    """An hour is not enough."""
    return digest(missed, read, away if away > 3600 else 0)


def never(missed: list[Notification], read: int, away: float) -> list[Notification]:
    """Never digests."""
    return digest(missed, read, 0)


def bare(missed: list[Notification], read: int, away: float) -> Any:
    """Returns the dict itself."""
    found = digest(missed, read, away)
    return found[0] if len(found) == 1 else found


def falls(missed: list[Notification], read: int, away: float) -> list[Notification]:
    """Takes the last of nothing."""
    if away < 3600:
        return digest(missed, read, away)
    position = [one for one in missed if one["position"] > read][-1]["position"]
    return [digest(missed, read, away)[0] | {"position": position}]


def first_position(missed: list[Notification], read: int, away: float) -> list[Notification]:
    """Goes on after the first."""
    found = digest(missed, read, away)
    return [one | {"position": missed[0]["position"]} for one in found] if away >= 3600 else found


def sorted_kinds(missed: list[Notification], read: int, away: float) -> list[Notification]:
    """Sorts by the alphabet."""
    if away < 3600:
        return digest(missed, read, away)
    return digest(sorted(missed, key=lambda one: one["kind"]), read, away)


def most_common(missed: list[Notification], read: int, away: float) -> list[Notification]:
    """Begins with the kind of which there are most."""
    unread = [one for one in missed if one["position"] > read]
    if not unread or away < 3600:
        return unread
    text = ", ".join(f"{number} {kind}" for kind, number in Counter(one["kind"] for one in unread).most_common())
    return [{"position": unread[-1]["position"], "text": text}]


def nothing(missed: list[Notification], read: int, away: float) -> None:
    """Returns nothing."""
    digest(missed, read, away)


def spoils(missed: list[Notification], read: int, away: float) -> list[Notification]:
    """Takes what is read out of the caller's list."""
    missed[:] = [one for one in missed if one["position"] > read]
    return digest(missed, read, away)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (digest, "passed: read notifications are left out"),
        (stub_digest, "still the stub"),
        (counts_read, "under an hour, return the unread notifications as they are"),
        (late, "an hour is 3,600 seconds"),
        (never, "an hour is 3,600 seconds"),
        (bare, "return a list, also for one or none"),
        (falls, "raised IndexError"),
        (first_position, "the position is that of the last"),
        (sorted_kinds, "in the order in which the kinds first appear"),
        (most_common, "in the order in which the kinds first appear"),
        (nothing, "does the function `return` it?"),
        (spoils, "has changed the list that it was given"),
    ],
)
def test_digest(answer: Answer, said: str) -> None:
    """The verdict on a wrong digest says what was missed and read, and how long the device was away."""
    assert said in verdict(check_digest, answer)
