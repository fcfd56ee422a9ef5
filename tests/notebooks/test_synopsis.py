"""The synopsis of a lesson is a program that a reader can take home and run."""

from __future__ import annotations

import ast
import asyncio
import re
import threading
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
from lab import Engine
from redis.asyncio import Redis
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from server import BackgroundServer, serve
from server.broadcasting import Prepared
from server.wire.protocol import FanoutProtocol

from .lesson import LESSONS, ROOT, Lesson

WHOLE = ("01", "02", "03")  # whose synopsis is the whole chat so far, or names the file that has it
READY = {"03": ROOT / "notebooks" / "chat_03.py"}
LIMIT = 1000  # bytes of the longest message that a client may send
OWN, FOREIGN = Origin("https://chat.example"), Origin("https://evil.example")  # only the first is allowed

lessons = {lesson.number: lesson for lesson in map(Lesson, LESSONS)}


def _program(number: str) -> dict[str, Any]:
    """The names that the code below the heading 'Synopsis' defines, or the file that it names."""
    source = READY[number].read_text(encoding="utf-8") if number in READY else "\n".join(_blocks(number))
    names: dict[str, Any] = {"__name__": "chat"}
    exec(compile(source, "chat.py", "exec", dont_inherit=True), names)  # not this file's `annotations`
    return names


def _blocks(number: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", lessons[number].section("synopsis").prose, re.DOTALL)


def _secret(number: str, server: BackgroundServer) -> str:
    return "token=sesame" if number < "03" else f"ticket={_ticket(server, 'k00kie').json()}"


def _ticket(server: BackgroundServer, session: str) -> httpx.Response:
    return httpx.post(server.http("/ticket"), cookies={"session": session})


@pytest.mark.parametrize("number", WHOLE)
def test_synopsis_is_a_whole_program(number: str) -> None:
    """It imports what it uses, and its endpoint starts and opens for a program."""
    with (
        serve(_program(number)["chat"]) as server,
        connect(server.url(f"/ws?{_secret(number, server)}"), proxy=None) as client,
    ):
        assert client.ping().wait(15)


@pytest.mark.parametrize("number", READY)
def test_a_ready_file_is_the_chat_of_its_lesson(number: str) -> None:
    """The synopsis names it and shows a part of it as it is; all else in it, but its door, is a cell of the lesson."""
    file = READY[number].read_text(encoding="utf-8")
    assert f"`{READY[number].relative_to(ROOT).as_posix()}`" in lessons[number].section("synopsis").prose
    assert [block for block in _blocks(number) if block not in file] == []
    shown = {_code(one) for source in _sources(number) for one in ast.parse(source).body}
    own = [
        one
        for one in ast.parse(file).body
        if not isinstance(one, ast.Import | ast.ImportFrom | ast.Expr) and _code(one) not in shown
    ]
    exported, door = own
    assert ast.unparse(exported) == "__all__ = ['chat']"
    assert isinstance(door, ast.AsyncFunctionDef)
    assert door.name == "door"


def _sources(number: str) -> list[str]:
    return [cell.source for cell in lessons[number].code] + _blocks(number)


def _code(node: ast.AST) -> str:
    """The code of a statement, without comments and docstrings."""
    node = ast.parse(ast.unparse(node))
    for one in ast.walk(node):
        if (
            isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and ast.get_docstring(one) is not None
        ):
            del one.body[0]
    return ast.unparse(node)


@pytest.mark.parametrize("number", ["02", "03"])
def test_a_text_of_exactly_the_limit_is_answered(number: str) -> None:
    """The answer is longer than the text, because it repeats it with something in front; that breaks nothing."""
    names = _program(number)
    say = names["Say"]
    room = LIMIT - len(say(text="").encode())
    with serve(names["chat"]) as server:
        with connect(server.url(f"/ws?{_secret(number, server)}"), proxy=None) as client:
            client.recv(timeout=15)  # the greeting of lesson 02, the snapshot of lesson 03
            client.send(say(text="x" * room).encode())
            assert str(client.recv(timeout=15)).endswith("x" * room + '"}')
            client.send(say(text="x" * (room + 1)).encode())
            with pytest.raises(ConnectionClosed):
                client.recv(timeout=15)
            assert client.close_code == 1009
        assert "Traceback" not in str(server.log)


@pytest.mark.parametrize("number", ["02", "03", "05"])
def test_a_server_may_say_a_text_of_any_length(number: str) -> None:
    """The lesson's `Say` has no limit, because `ana: ` and the longest text would break it."""
    (source,) = (cell.source for cell in lessons[number].code if "class Say(Message)" in cell.source)
    names: dict[str, Any] = {}
    exec(compile(source, "chat.py", "exec", dont_inherit=True), names)
    assert len(names["Say"](text=f"ana: {'x' * 2 * LIMIT}").text) == 2 * LIMIT + 5


def test_the_room_of_lesson_04_tells_everybody() -> None:
    """The first half of the synopsis of lesson 04 runs: one frame for all members."""
    with (
        serve(_program("04")["chat"], ws=FanoutProtocol) as server,
        connect(server.url("/ws"), proxy=None) as ana,
        connect(server.url("/ws"), proxy=None) as ben,
    ):
        ben.send("hello")
        assert [ana.recv(timeout=15), ben.recv(timeout=15)] == ["hello", "hello"]


def test_the_stream_of_lesson_04_reaches_every_process() -> None:
    """Its second half runs: what one process says is read by all who follow, also what was said before they came."""
    asyncio.run(_say_to_two_followers())


async def _say_to_two_followers() -> None:
    with Engine() as engine:
        async with Redis.from_url(engine.url, decode_responses=True) as redis:
            here, there = _program("04"), _program("04")
            here["engine"] = there["engine"] = redis
            heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
            here["outboxes"].append(_Noted("here", heard))
            there["outboxes"].append(_Noted("there", heard))
            await here["say"]("one")
            followers = [asyncio.create_task(names["follow"]()) for names in (here, there)]
            await here["say"]("two")
            seen = [await asyncio.wait_for(heard.get(), 15) for _ in range(4)]
            for follower in followers:
                follower.cancel()
            await asyncio.wait(followers)
    assert [text for where, text in seen if where == "here"] == ["one", "two"]
    assert [text for where, text in seen if where == "there"] == ["one", "two"]


def test_the_chat_of_lesson_04_in_two_processes_survives_its_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put together as the text says, each process follows from its start, and again after the engine has died."""
    monkeypatch.delenv("VALKEY_URL", raising=False)  # that engine must not be killed
    with TemporaryDirectory() as folder, Engine(data=folder) as engine:
        programs = [_chat_of_two_blocks(engine) for _ in range(2)]
        chats = [program["chat"] for program in programs]
        say, said = programs[0]["say"], threading.Event()

        async def noted(text: str) -> None:
            await say(text)
            said.set()

        programs[0]["say"] = noted
        with (
            serve(chats[0], ws=FanoutProtocol) as left,
            serve(chats[1], ws=FanoutProtocol) as right,
            connect(left.url("/ws"), proxy=None) as ana,
            connect(right.url("/ws"), proxy=None) as ben,
        ):
            ana.send("before")
            assert [ana.recv(timeout=15), ben.recv(timeout=15)] == ["before", "before"]
            assert said.wait(15)  # everybody may hear it before the engine's answer has come to who said it
            engine.kill()
            engine.restart()
            ana.send("after")
            assert [ana.recv(timeout=15), ben.recv(timeout=15)] == ["after", "after"]
        assert "Traceback" not in f"{left.log} {right.log}"


def _chat_of_two_blocks(engine: Engine) -> dict[str, Any]:
    """The second block above the line with `chat =`, `say` in place of `fan_out`, and the lifespan."""
    first, second = _blocks("04")
    changes = {
        "chat = FastAPI()": f"{second}\nchat = FastAPI(lifespan=listening)",
        "            fan_out(outboxes, text)": "            await say(text)",
        "redis://127.0.0.1:6379": engine.url,
        '"lobby"': f'"{engine.prefix}"',
    }
    source = first
    for before, after in changes.items():
        assert before in source
        source = source.replace(before, after)
    names: dict[str, Any] = {"__name__": "chat"}
    exec(compile(source, "chat.py", "exec", dont_inherit=True), names)
    return names


def test_the_room_of_lesson_04_is_silent_without_its_connection_class() -> None:
    """Nobody runs the writer of the other outbox, as the lesson says: the option is no ornament."""
    with serve(_program("04")["chat"], ws="websockets-sansio") as server, connect(server.url("/ws"), proxy=None) as ana:
        ana.send("hello")
        with pytest.raises(TimeoutError):
            ana.recv(timeout=0.5)


class _Noted:
    """An outbox whose connection is a queue."""

    def __init__(self, where: str, heard: asyncio.Queue[tuple[str, str]]) -> None:
        self.where, self.heard = where, heard

    def send_nowait(self, message: Prepared) -> None:
        self.heard.put_nowait((self.where, message.text))


def test_the_chat_of_lesson_03_does_what_the_lesson_built() -> None:
    """A ticket is good once, a device has its name, a closed room is an error, and a foreign page gets 4003."""
    names = _program("03")
    names["sessions"]["c00kie"] = "ben"
    with serve(names["chat"]) as server:
        assert _ticket(server, "guessed").status_code == 401
        url = server.url(f"/ws?ticket={_ticket(server, 'c00kie').json()}&device=phone")
        with connect(url, proxy=None, origin=OWN) as ben:
            assert '"users":["ben"]' in ben.recv(timeout=30)
            assert names["manager"].devices("ben") == ("phone",)
            with pytest.raises(InvalidStatus, match="401"), connect(url, proxy=None):
                pass
            ben.send(names["Say"](text="/join office").encode())
            assert "a room that is open to you" in ben.recv(timeout=30)
            ben.send(names["Say"](text="hello").encode())
            assert '"ben: hello"' in ben.recv(timeout=30)
        foreign = server.url(f"/ws?ticket={_ticket(server, 'c00kie').json()}")
        with connect(foreign, proxy=None, origin=FOREIGN) as page, pytest.raises(ConnectionClosed):
            page.recv(timeout=30)
        assert page.close_code == 4003
