"""Tricks with paths, and with the names of rooms and users."""

from __future__ import annotations

import json
import unicodedata

import pytest

from .beside import beside
from .target import DEADLINE, Target

PATHS = [
    "/%2e%2e/%2e%2e/etc/passwd",
    "/..%2f..%2f..%2fetc/passwd",
    "/%2e%2e%5c%2e%2e%5cserver%5csettings.py",
    "/....//....//etc/passwd",
    "/%252e%252e/%252e%252e/etc/passwd",
    "/%c0%ae%c0%ae/%c0%ae%c0%ae/etc/passwd",
    "//etc/passwd",
    "/../app.py",
    "/%2e%2e/settings.py",
    "/./../__init__.py",
    "/%00",
    "/index.html%00.txt",
    "/%ff%fe",
    "/%E2%80%AE",
    "/%0d%0aSet-Cookie:%20chat_session=1",
    "/a\\..\\..",
    "/" + "a" * 5_000,
    "/" + "a/" * 2_000,
    "/static:$DATA",
    "/con",
    "*",
    "http://evil.example/",
    "evil.example:80",
]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:30])
def test_no_path_leads_out_of_the_page(target: Target, path: str) -> None:
    """404 or 400, nothing of the machine or of the code, and no header that the path has made."""
    answer = target.answer(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert answer.split(b" ")[1] in (b"400", b"404"), answer
    for word in (b"root:", b"import ", b"set-cookie"):
        assert word not in answer.lower()
    assert target.log.count("Traceback") == 0


@pytest.mark.parametrize(
    "path", ["/WS", "/ws/", "//ws", "/%77s/x", "/ws%00", "/ws;x=1", "/x/../ws", "http://evil.example/ws"]
)
def test_only_one_path_is_the_endpoint(target: Target, path: str) -> None:
    """What a proxy may let through under another name is refused."""
    answer = target.answer(target.request("eve", path=path))
    assert not answer.startswith(b"HTTP/1.1 101 "), answer


BAD = [
    "",
    "a/b",
    "a b",
    "a\n",
    "\na",
    "a\0",
    "\u202eyennej",  # right to left
    "a\u2066b",
    "a\ufeff",
    "a\u00ad",
    "lob\u200bby",
    "lobby\u200d",
    "room:lobby",
    "*",
    "a" * 65,
    "🦊",
]


@pytest.mark.parametrize("room", BAD, ids=ascii)
def test_a_name_that_is_none_is_refused(patient: Target, room: str) -> None:
    """Control characters, direction marks, nothing, and more than 64 characters: an error that names the field."""
    with patient.client("eve") as client:
        client.recv()
        for kind in ("join", "leave", "say", "typing"):
            client.send(json.dumps({"type": kind, "room": room} | ({"text": "x"} if kind == "say" else {})))
            answer = json.loads(client.recv(timeout=DEADLINE))
            assert (answer["type"], answer["field"]) == ("error", "room")


def test_rooms_that_look_alike_are_two_rooms(patient: Target) -> None:
    """What is said in the one is never heard in the other, however a font shows them; only NFC and NFD are one room."""
    names = ["lobby", "ⅼobby", "lоbby", "LOBBY", "lobby.", "e\u0301", "\u00e9", ".."]  # noqa: RUF001
    assert unicodedata.normalize("NFC", "e\u0301") == "\u00e9"
    with beside(patient), patient.client("eve") as client:
        for name in names:
            client.send(json.dumps({"type": "join", "room": name}))
            client.send(json.dumps({"type": "say", "room": name, "text": name}))
        heard: list[tuple[str, str]] = []
        while len(heard) < len(names):
            message = json.loads(client.recv(timeout=DEADLINE))
            if message["type"] == "message":
                heard.append((message["room"], message["text"]))
        assert sorted(heard) == sorted((unicodedata.normalize("NFC", name), name) for name in names)


def test_the_longest_names_fit(patient: Target) -> None:
    """64 characters of four bytes each: the log behind the rooms has a limit of its own."""
    room = "𐍈" * 64
    with beside(patient), patient.client("𐍈" * 47) as client:
        client.send(json.dumps({"type": "join", "room": room, "last": 100}))
        client.send(json.dumps({"type": "say", "room": room, "text": "🦊" * 2_000, "key": "🦊" * 64}))
        while (message := json.loads(client.recv(timeout=DEADLINE)))["type"] != "message":
            assert message["type"] != "error", message
        assert message["text"] == "🦊" * 2_000


def test_nobody_takes_the_key_of_another(patient: Target) -> None:
    """Whoever guesses a key may not have the other's message taken for one that was said already."""
    with patient.client("a") as eve, patient.client("a:b") as ana:
        for client, key, text in ((eve, "b:c", "mine"), (ana, "c", "hers")):
            client.send('{"type":"join","room":"keys"}')
            client.send(json.dumps({"type": "say", "room": "keys", "text": text, "key": key}))
            while (message := json.loads(client.recv(timeout=15)))["type"] != "message":
                pass
            assert message["text"] == text


def test_half_a_character_in_a_body_is_the_clients_mistake(target: Target) -> None:
    """A JSON escape can say what UTF-8 cannot; the answer is 422 and no failure in the log."""
    body = b'{"name":"\\ud800"}'
    head = f"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    assert target.answer(head.encode() + body).startswith(b"HTTP/1.1 422 ")
