"""What cannot succeed is refused at once and by name, and no error repeats a password."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import pytest

from server import serve
from server.broker import Position
from server.client import Backoff, Client, ClientError, ConnectOptions, LoginError
from tests.server.client.scripted import FAST, client, scripted, stays
from tests.server.people import DEADLINE

pytestmark = pytest.mark.anyio

ADDRESS = "http://127.0.0.1:1"
HALF = "\ud83d"
NAN, INF, HUGE = float("nan"), float("inf"), 10**400


async def awaited(found: Any) -> Any:
    """Return the argument from a coroutine."""
    return found


async def on_announcement(text: str) -> None:
    """Do nothing; nobody would await it."""


ADDRESSES: list[tuple[Any, str]] = [
    ("", "write it like"),
    (None, "must be text"),
    (b"http://127.0.0.1:1", "must be text"),
    ("127.0.0.1:8000", "write it like"),
    ("ws://127.0.0.1:8000", "write it like"),
    ("http://127.0.0.1:99999", "port"),
    ("http://127.0.0.1:0", "port"),
    ("http://127.0.0.1:port", "port"),
    ("http://u:hunter2@127.0.0.1:1", "password; pass token="),
    ("http://ana:hunter2/@h", "password; pass token="),
    ("http://ana:hunter2", "port"),
    ("ana:hunter2@h", "password; pass token="),
    ("http://hunter2<:80/@h", "password; pass token="),
    ("http://127.0.0.1:1/#lobby", "fragment"),
    ("http://127.0.0.1:1/?ticket=hunter2", "query"),
    ("http://127.0.0.1:1 ", "a space"),
    ("http://127.0.0.1:1/\ud83d", "not ASCII"),
    ("http://a..b", "'a..b'"),
    ("http://.", "'.'"),
    (f"http://{'a' * 64}.example", "host"),
    (f"http://{'.'.join(['a' * 50] * 6)}", "host"),
    ("http://a<b", "'a<b'"),
    ("http://300.1.1.1", "'300.1.1.1'"),
    ("http://[1::2::3]", "write it like"),
]

CLIENT_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({}, "give one of token="),
    ({"token": "t", "name": "ana"}, "give one of token="),
    ({"token": "t\n"}, "line break"),
    ({"token": "t "}, "a space"),
    ({"token": ""}, "empty"),
    ({"token": HALF}, "odd character"),
    ({"token": b"hunter2"}, "token= .* bytes"),
    ({"token": 7}, "token= .* int"),
    ({"ticket": "hunter2"}, "ticket= .* function"),
    ({"ticket": 7}, "ticket= .* function"),
    ({"name": object()}, "name= .* object"),
    ({"name": b"ana"}, "name= .* bytes"),
    ({"name": HALF}, "half a character"),
    ({"token": "t", "device": HALF}, "half a character"),
    ({"token": "t", "device": 7}, "device= .* int"),
    ({"token": "t", "device": None}, "device= .* NoneType"),
    ({"token": "t", "buffer": 0}, "buffer= .* 0"),
    ({"token": "t", "buffer": 1.5}, "buffer= .* 1.5"),
    ({"token": "t", "buffer": "64"}, "buffer= .* '64'"),
    ({"token": "t", "buffer": True}, "buffer= .* True"),
    ({"token": "t", "on_announcement": "print"}, "on_announcement= .* function"),
    ({"token": "t", "on_announcement": on_announcement}, "on_announcement= .* async"),
    ({"token": "t", "options": {"proxy": None}}, "options= .* dict"),
]

CONNECT_OPTIONS: list[tuple[dict[str, Any], str]] = [
    *(
        ({name: value}, f"{name}= ")
        for name in ("messages_per_second", "joins_per_second", "open_timeout", "ping_interval")
        for value in (0, -1, NAN, INF, HUGE, 1e-320, "5", None, True)
    ),
    *(
        ({name: value}, f"{name}= ")
        for name in ("message_burst", "join_burst")
        for value in (0, -1, 0.5, NAN, INF, HUGE, "5", None)
    ),
    ({"backoff": 5}, "backoff= .* int"),
    ({"tls": True}, "tls= .* bool"),
    ({"tls": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)}, "tls= .* server"),
    ({"tls": ssl.create_default_context()}, "https://"),
    ({"proxy": "127.0.0.1:3128"}, "scheme"),
    ({"proxy": "ana:hunter2@127.0.0.1:3128"}, "proxy="),
    ({"proxy": "http://ana:hunter2@127.0.0.1:99999"}, "port"),
    ({"proxy": "http://127.0.0.1:0"}, "port"),
    ({"proxy": "http://ana:hunter2"}, "port"),
    ({"proxy": "http://hunter2@127.0.0.1:3128"}, "without a password"),
    ({"proxy": "http://ana:hunter2%ff@127.0.0.1:3128"}, "UTF-8"),
    ({"proxy": f"http://ana:hunter2{HALF}@127.0.0.1:3128"}, "half a character"),
    ({"proxy": "http://a..b:3128"}, "'a..b'"),
    ({"proxy": "http://127.0.0.1:3128/path?hunter2"}, "path"),
    ({"proxy": "ftp://ana:hunter2@127.0.0.1:3128"}, "'ftp'"),
    ({"proxy": ""}, "scheme"),
    ({"proxy": "http://ana:hunter2@["}, "cannot be read"),
    ({"join_burst": -(10**5_000)}, "join_burst= "),
    ({"proxy": False}, "proxy= .* False"),
    ({"proxy": b"http://127.0.0.1:3128"}, "proxy= .* bytes"),
    ({"proxy": "socks5://ana:hunter2@127.0.0.1:1080"}, "python-socks"),
]

BACKOFFS: list[tuple[dict[str, Any], str]] = [
    *(
        ({name: value}, f"{name}= ")
        for name in ("base", "busy_base", "maximum")
        for value in (-1, NAN, INF, HUGE, "5", None)
    ),
    *(({"reset_after": value}, "reset_after= ") for value in (-1, NAN, HUGE, "5", None)),
    ({"draw": 0.5}, "draw= .* float"),
]

CASES: list[tuple[Callable[[], object], str]] = [
    *((lambda url=url: Client(url, token="t"), words) for url, words in ADDRESSES),
    *((lambda options=options: Client(ADDRESS, **options), words) for options, words in CLIENT_OPTIONS),
    *(
        (lambda options=options: Client(ADDRESS, token="t", options=ConnectOptions(**options)), words)
        for options, words in CONNECT_OPTIONS
    ),
    *((lambda options=options: Backoff(**options), words) for options, words in BACKOFFS),
    *(
        (
            lambda proxy=proxy: Client(ADDRESS, name="ana", options=ConnectOptions(proxy=proxy)),
            r"demo login .*pass token=",
        )
        for proxy in ("https://ana:hunter2@127.0.0.1:9", "https://127.0.0.1:9")
    ),
]


@pytest.fixture(autouse=True)
def no_python_socks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run as in an environment without python-socks."""
    monkeypatch.setitem(sys.modules, "python_socks", None)


@pytest.mark.parametrize(("make", "words"), CASES)
def test_an_argument_that_cannot_work_is_refused(make: Callable[[], object], words: str) -> None:
    """Before any connection, and without the password or the token in the message."""
    with pytest.raises(ClientError, match=words) as refused:
        make()
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:1/user/ana@uni.example/proxy/8000/", "HTTP://LOCALHOST", "http://[::1]:1", "http://a_b.c."],
)
def test_an_address_that_can_work_is_accepted(url: str) -> None:
    """JupyterHub's addresses have an @ in the path."""
    assert Client(url, token="t").state == "connecting"


def test_a_socks_proxy_is_accepted_with_python_socks(monkeypatch: pytest.MonkeyPatch) -> None:
    """`websockets` uses it."""
    installed = ModuleType("python_socks")
    installed.__spec__ = ModuleSpec("python_socks", None)
    monkeypatch.setitem(sys.modules, "python_socks", installed)
    options = ConnectOptions(proxy="socks5h://ana:hunter2@127.0.0.1:1080")
    assert Client(ADDRESS, token="t", options=options).state == "connecting"


@pytest.mark.parametrize(
    "variables",
    [
        {"http_proxy": "ana:hunter2@127.0.0.1:3128"},
        {"https_proxy": "socks5h://ana:hunter2@127.0.0.1:1080"},
        {"http_proxy": "http://ana:hunter2@127.0.0.1:99999"},
    ],
)
def test_a_proxy_of_the_environment_that_cannot_work_is_refused(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the environment, so that you know where to look."""
    for name in ("no_proxy", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ClientError, match="environment") as refused:
        Client(ADDRESS, token="t")
    assert "hunter2" not in str(refused.value)


def test_options_show_no_password() -> None:
    """Logs and notebooks print them."""
    assert "hunter2" not in repr(ConnectOptions(proxy="http://ana:hunter2@127.0.0.1:3128"))


@pytest.mark.parametrize("found", [None, b"hunter2", 7, "", "hunter2 ", f"hunter2{HALF}"])
@pytest.mark.parametrize("way", ["token", "ticket"])
@pytest.mark.parametrize("wrap", [lambda found: found, awaited])
async def test_a_function_that_returns_no_credentials_is_refused(
    found: Any, way: str, wrap: Callable[[Any], Any]
) -> None:
    """On entering the block, by the name of the argument, and without another attempt."""
    asked = []

    def get() -> Any:
        asked.append(found)
        return wrap(found)

    options: dict[str, Any] = {way: get}
    with pytest.raises(LoginError, match=f"{way}=") as refused:
        async with asyncio.timeout(DEADLINE), Client(ADDRESS, options=FAST, **options):
            pass
    assert "hunter2" not in str(refused.value)
    assert len(asked) == 1


async def read(reader: AsyncIterator[Any]) -> None:
    """Read until the end."""
    async for _ in reader:
        pass


POSITIONS: list[Any] = [7, Position("", 1), Position("e", -1), Position(HALF, 1)]
POSITIONS += [Position(epoch, offset) for epoch, offset in (("e", "1"), (7, 1), ("e", True))]  # type: ignore[arg-type]

CALLS: list[tuple[Callable[[Client], Awaitable[object]], str]] = [
    *(
        (lambda ana, seconds=seconds: ana.say("lobby", "hi", seconds=seconds), "seconds= ")
        for seconds in (NAN, INF, HUGE, -1, 0, "5", None)
    ),
    *(
        (lambda ana, seconds=seconds: ana.ack(Position("e", 1), seconds=seconds), "seconds= ")
        for seconds in (NAN, INF, HUGE, -1, 0, "5", None)
    ),
    *((lambda ana, room=room: ana.say(room, "hi"), "room: ") for room in ("", "a b", HALF, 7, None, b"lobby")),
    *((lambda ana, text=text: ana.say("lobby", text), "text: ") for text in ("", HALF, 7, None, "x" * 2_001)),
    *((lambda ana, key=key: ana.say("lobby", "hi", key=key), "key: ") for key in ("", HALF, 7, "x" * 65)),
    *((lambda ana, place=place: ana.ack(place), "position: ") for place in (None, *POSITIONS)),
    *((lambda ana, place=place: read(aiter(ana.room("lobby", after=place))), "after: ") for place in POSITIONS),
    *((lambda ana, place=place: read(aiter(ana.inbox(after=place))), "after: ") for place in POSITIONS),
    *((lambda ana, last=last: read(aiter(ana.room("lobby", last=last))), "last: ") for last in (-1, 101, 1.5, "1")),
    *((lambda ana, last=last: read(aiter(ana.inbox(last=last))), "last: ") for last in (-1, 101, None)),
    *((lambda ana, room=room: read(aiter(ana.room(room))), "room: ") for room in ("", "a/b", HALF, 7)),
]


@pytest.mark.parametrize(("call", "words"), CALLS)
async def test_a_call_that_cannot_work_is_refused(call: Callable[[Client], Awaitable[object]], words: str) -> None:
    """By the name of the argument; the client stays connected."""
    with serve(scripted(stays)) as server:
        async with client(server) as ana:
            with pytest.raises(ClientError, match=words):
                await call(ana)
            assert ana.error is None


async def test_a_client_with_a_ticket_has_no_headers() -> None:
    """A ticket is good for one connection, and for no HTTP request."""
    with pytest.raises(ClientError, match="token="):
        await Client(ADDRESS, ticket=lambda: "t").headers()
