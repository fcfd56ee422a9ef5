"""The names of rooms and users: what nobody sees is in none of them, and one name is one however it was typed."""

from __future__ import annotations

import unicodedata
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.access.tokens import issue_session, verify_session
from server.messages import ChatIn, Error, Join, parse
from server.messages.names import LONGEST_NAME, normalize, user_name
from tests.server.client.scripted import client, texts
from tests.server.people import KEY, Person, chat
from tests.server.recipients import Device, bearer, pusher

# a soft hyphen, joiners, a filler that counts as a letter, selectors that count as marks, a mark of direction
INVISIBLE = ["\u00ad", "\u200c", "\u200d", "\u2060", "\u3164", "\u034f", "\ufe0f", "\U000e0100", "\u202e", "\ufeff"]
NFC, NFD = "Zoë", "Zoe\u0308"
WRONG = ["", ".", "..", "a/../b", "./a", "a/..", "x" * 191, "é" * 96, "a\u200db"]


@pytest.mark.parametrize("character", INVISIBLE, ids=ascii)
def test_invisible_characters_are_refused(character: str) -> None:
    """Two rooms, or two users, that look the same are the same."""
    answer = parse(f'{{"type": "join", "room": "a{character}b", "id": 7}}', ChatIn)
    assert isinstance(answer, Error)
    assert (answer.field, answer.id) == ("room", 7)
    with pytest.raises(ValueError, match="all of them visible"):
        user_name(f"a{character}b")
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
    assert user_name(name) == name


def test_the_name_of_a_user_has_an_end() -> None:
    """In bytes; nothing, a line break and half a character are no names, nor is what an address loses on its way."""
    assert user_name("x" * LONGEST_NAME)
    for name in ("", "é" * (LONGEST_NAME // 2 + 1), "a\nb", "a\u2028b", "\ud83d", *WRONG):
        with pytest.raises(ValueError, match="a name of 1 to 190 bytes"):
            user_name(name)


@given(st.text())
def test_a_name_is_normalized_once(name: str) -> None:
    """However often it goes through a door, and whichever of its forms comes."""
    assert normalize(normalize(name)) == normalize(name) == normalize(unicodedata.normalize("NFD", name))


@given(st.from_regex(r"\A[\w.-]{1,64}\Z").filter(lambda name: name.isprintable()))
def test_every_form_of_a_room_is_one_room(name: str) -> None:
    """What is taken comes back as a name that is taken, also where composing makes it longer."""
    found = parse(f'{{"type": "join", "room": "{name}"}}', ChatIn)
    if isinstance(found, Join):
        assert Join(room=found.room).room == found.room == normalize(name)


def test_one_user_is_one_however_the_name_was_typed() -> None:
    """The header of a socket, a ticket, the demo login and a push: one inbox, one bucket, one name in a room."""
    with (
        chat(demo_login=True) as room,
        Device(room.server, NFC) as phone,
        httpx.Client(base_url=room.server.http(), trust_env=False, headers={"Origin": room.server.http()[:-1]}) as page,
        pusher(room.server) as shop,
    ):
        phone.watch()
        with Person(room.server, NFD, room=None) as laptop:
            assert laptop.receive("welcome")["user"] == NFC
            laptop.send(type="watch")
            laptop.receive("inbox")
            for form in (NFC, NFD):
                answer = shop.post(f"/users/{quote(form)}/notifications", json={"kind": "k", "text": form})
                assert answer.status_code == 202
                assert phone.receive("notification")["text"] == laptop.receive("notification")["text"] == form
        assert page.post("/login", json={"name": NFD}).status_code == 204
        assert page.post("/ticket").json()["user"] == NFC
        token = bearer(NFD)
        assert page.get("/notifications", params={"last": 2}, headers=token).json()["unread"] == 2


@pytest.mark.anyio
async def test_one_room_however_its_name_was_typed() -> None:
    """Two keyboards meet in it, and the Python client finds what it has asked for."""
    with chat() as room, Person(room.server, "ana", room=None) as ana, Person(room.server, "ben", room=None) as ben:
        for person, form in ((ana, NFC), (ben, NFD)):
            person.send(type="join", room=form)
            assert person.receive("joined")["room"] == NFC
        ben.send(type="say", room=NFD, text="hello")
        assert (ana.receive("message")["text"], ben.receive("message")["room"]) == ("hello", NFC)
        async with client(room.server, "cleo") as cleo:
            await cleo.say(NFD, "again")
            assert await texts(cleo.room(NFD, last=2), 2) == ["hello", "again"]


@pytest.mark.parametrize("user", ["google/103", "auth0|5f", "a/b/c", "/", "a//b", "a/notifications", "50%/2F", "Zoë/ü"])
@pytest.mark.parametrize("safe", ["", "/|"], ids=["encoded", "as it is"])
def test_a_user_as_an_identity_provider_names_it_is_reached(user: str, safe: str) -> None:
    """Whether or not the slash in the name is percent-encoded."""
    with chat() as room, pusher(room.server) as shop, Device(room.server, user) as device:
        device.watch()
        answer = shop.post(f"/users/{quote(user, safe=safe)}/notifications", json={"kind": "k", "text": "t"})
        assert answer.status_code == 202, answer.text
        assert device.receive("notification")["text"] == "t"


@pytest.mark.parametrize("user", WRONG, ids=ascii)
def test_a_name_that_no_session_can_have_is_not_pushed_to(user: str) -> None:
    """It is refused by name, instead of filling an inbox that nobody can open."""
    with chat() as room, pusher(room.server) as shop:
        path = f"/users/{quote(user, safe='')}/notifications".replace(".", "%2E")
        answer = shop.post(path, json={"kind": "k", "text": "t"})
        detail: Any = answer.json()["detail"]
        assert (answer.status_code, detail[0]["loc"]) == (422, ["path", "user"]), answer.text
        assert "a name of 1 to 190 bytes" in detail[0]["msg"]
    assert verify_session(issue_session(user, key=KEY, seconds=60), key=KEY) is None
