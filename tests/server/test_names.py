"""The names of rooms and users: what nobody sees is in none of them."""

from __future__ import annotations

import pytest

from server.messages import ChatIn, Error, Join, parse
from server.names import LONGEST_NAME, is_name
from server.tickets import issue_session, verify_session

KEY = "a secret of thirty-two characters"
# a soft hyphen, joiners, a filler that counts as a letter, selectors that count as marks, a mark of direction
INVISIBLE = ["\u00ad", "\u200c", "\u200d", "\u2060", "\u3164", "\u034f", "\ufe0f", "\U000e0100", "\u202e", "\ufeff"]


@pytest.mark.parametrize("character", INVISIBLE, ids=ascii)
def test_what_nobody_sees_is_in_no_name(character: str) -> None:
    """Two rooms, or two users, that look the same are the same."""
    answer = parse(f'{{"type": "join", "room": "a{character}b", "id": 7}}', ChatIn)
    assert isinstance(answer, Error)
    assert (answer.field, answer.id) == ("room", 7)
    assert not is_name(f"a{character}b")
    assert verify_session(issue_session(f"a{character}b", key=KEY, seconds=60), key=KEY) is None


def test_the_refusal_says_what_is_wrong() -> None:
    """A user sees nothing wrong with the name."""
    assert parse('{"type": "join", "room": "a\u200db"}', ChatIn) == Error(
        field="room", expected="a name without invisible characters"
    )


@pytest.mark.parametrize("name", ["lobby", "Straße", "ห้อง", "कक्षा", "房间", "한국어", "q\u0323\u0307"], ids=ascii)
def test_what_people_write_is_a_name(name: str) -> None:
    """Letters with the marks that stand above and below them, whatever the alphabet."""
    assert parse(f'{{"type": "join", "room": "{name}"}}', ChatIn) == Join(room=name)
    assert is_name(name)


def test_the_name_of_a_user_has_an_end() -> None:
    """In bytes; nothing, a line break and half a character are no names."""
    assert is_name("x" * LONGEST_NAME)
    for name in ("", "é" * (LONGEST_NAME // 2 + 1), "a\nb", "a\u2028b", "\ud83d"):
        assert not is_name(name)
