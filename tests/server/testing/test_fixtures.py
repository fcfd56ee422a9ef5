"""The fixtures of `server.testing`, in a pytest that runs in this process on files of its own."""

from __future__ import annotations

import threading

import pytest

from server.run.registry import entered
from server.testing.contexts import OpenTap, Serve, WebsocketTo

pytest_plugins = ["pytester", "server.testing"]

APP = """
import asyncio
from fastapi import FastAPI, WebSocket

app = FastAPI()

@app.websocket("/ws")
async def echo(websocket: WebSocket):
    await websocket.accept()
    async for text in websocket.iter_text():
        if text == "fail":
            raise RuntimeError("a bug in the handler")
        await websocket.send_text(text)

@app.websocket("/silent")
async def silent(websocket: WebSocket):
    await websocket.accept()
    await asyncio.sleep(3600)
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A reader's project: an app, and the one line in its conftest."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(app=APP)
    pytester.makeconftest('pytest_plugins = ["server.testing"]')
    return pytester


def ran(project: pytest.Pytester, test: str, *options: str) -> pytest.RunResult:
    """Run one test file."""
    project.makepyfile(test_app=f"import pytest\nfrom app import app\n\n{test}")
    return project.runpytest_inprocess(*options)


def test_three_fixtures_work_together(project: pytest.Pytester) -> None:
    """A server, a tap in front of it, and a client through it."""
    result = ran(
        project,
        """
def test_echo(serve, tap, websocket):
    cable = tap(serve(app))
    ana = websocket(cable, "/ws")
    ana.send("hello")
    assert ana.recv() == "hello"
    assert cable.bytes_up and cable.bytes_down
""",
    )
    result.assert_outcomes(passed=1)


def test_everything_is_stopped_after_each_test(project: pytest.Pytester) -> None:
    """Also when the test fails, and whichever fixture was asked for first."""
    threads = set(threading.enumerate())
    result = ran(
        project,
        """
import threading

@pytest.mark.parametrize("order", [["websocket", "tap", "serve"], ["serve", "tap", "websocket"]])
def test_fails(order, request):
    made = {name: request.getfixturevalue(name) for name in order}
    cable = made["tap"](made["serve"](app))
    made["websocket"](cable, "/silent")
    cable.cut()
    assert False

def test_nothing_is_left():
    assert not [one for one in threading.enumerate() if one.name.startswith(("server-", "tap-"))]
""",
    )
    result.assert_outcomes(failed=2, passed=1)
    assert not entered(object)  # type: ignore[type-var]
    assert set(threading.enumerate()) <= threads


def test_report_of_a_failure_shows_the_log_of_the_server(project: pytest.Pytester) -> None:
    """The traceback of the handler is in it, which a client cannot see."""
    result = ran(
        project,
        """
def test_fail(serve, websocket):
    ana = websocket(serve(app), "/ws")
    ana.send("fail")
    assert ana.end() == 1011
""",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*assert 1006 == 1011*", "*Captured log*", "RuntimeError: a bug in the handler"])


def test_wait_that_is_in_vain_says_so(project: pytest.Pytester) -> None:
    """A test that would hang fails, and its report names what was missing."""
    result = ran(
        project,
        """
def test_hangs(serve, websocket):
    ana = websocket(serve(app), "/silent", deadline=0.05)
    ana.recv()
""",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*TimeoutError: no message came within 0.05 s; the connection is still open*"])


def test_server_of_a_session_stands_beside_it(project: pytest.Pytester) -> None:
    """`server.serve` makes one server for all tests, and `websocket` connects to it."""
    project.makeconftest("""
import pytest
from app import app
from server import serve as start

pytest_plugins = ["server.testing"]

@pytest.fixture(scope="session")
def shared():
    with start(app) as server:
        yield server
""")
    result = ran(
        project,
        """
ports = set()

@pytest.mark.parametrize("text", ["a", "b"])
def test_echo(shared, websocket, text):
    ana = websocket(shared)
    ana.send(text)
    assert ana.recv() == text
    ports.add(shared.port)
    assert len(ports) == 1
""",
    )
    result.assert_outcomes(passed=2)


def test_help_names_the_fixtures(project: pytest.Pytester) -> None:
    """``pytest --fixtures`` says what each is for."""
    result = project.runpytest_inprocess("--fixtures", "-p", "no:cacheprovider")
    for said in ("Start a real server on a free port", "Put a cable between", "Connect a client whose waits"):
        result.stdout.fnmatch_lines([f"*{said}*"])


# the fixtures in this very process

ECHO_APP: dict[str, object] = {}
exec(APP, ECHO_APP)  # the same app, without a file
echo_app = ECHO_APP["app"]


def test_cut_cable_holds_a_message_back(serve: Serve, tap: OpenTap, websocket: WebsocketTo) -> None:
    """It arrives after mend()."""
    cable = tap(serve(echo_app))
    ana = websocket(cable)
    cable.cut()
    ana.send("hello")
    with pytest.raises(TimeoutError, match=r"no message came within 0.1 s"):
        ana.recv(0.1)
    cable.mend()
    assert ana.recv() == "hello"


def test_reset_is_seen_by_the_client(serve: Serve, tap: OpenTap, websocket: WebsocketTo) -> None:
    """Without a close frame, so the code is 1006."""
    cable = tap(serve(echo_app))
    ana = websocket(cable)
    cable.reset()
    assert ana.end() == 1006
    assert cable.wait(lambda tap: tap.connections[0].ended)
    assert cable.connections[0].outcome == "reset"
    assert "connection" in repr(cable)


def test_options_reach_the_server_and_the_client(serve: Serve, websocket: WebsocketTo) -> None:
    """`serve` hands them on to uvicorn, `websocket` to websockets' connect."""
    server = serve(echo_app, ws_max_size=10)
    ana = websocket(server.url("/ws"), compression=None)
    ana.send("x" * 11)
    assert ana.end() == 1009
