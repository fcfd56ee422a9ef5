"""A deliberate failure is shown in one line that never changes, and a missing one is an error."""

from __future__ import annotations

import asyncio

import pydantic
import pytest
from fastapi import FastAPI, WebSocket
from lab.observe.expect import expect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError
from websockets.sync.client import connect

from server import serve


def test_expect_prints_the_error_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The error of a real connection is printed with its kind, code and reason."""
    app = FastAPI()

    @app.websocket("/ws")
    async def refuse(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close(1008, "not today")

    with serve(app) as server, connect(server.url("/ws")) as client, expect(ConnectionClosed) as caught:
        client.recv(timeout=30)
    error = "received 1008 (policy violation) not today; then sent 1008 (policy violation) not today"
    assert capsys.readouterr().out == f"ConnectionClosedError: {error}\n"
    assert isinstance(caught.error, ConnectionClosedError)
    assert caught.error.rcvd is not None
    assert caught.error.rcvd.code == 1008


@pytest.mark.anyio
async def test_expect_works_around_await(capsys: pytest.CaptureFixture[str]) -> None:
    """A plain `with` holds a block that awaits, as the cells of a notebook do."""
    with expect(TimeoutError):
        async with asyncio.timeout(0):
            await asyncio.Event().wait()
    assert capsys.readouterr().out == "TimeoutError\n"


def test_expect_fails_when_nothing_is_raised() -> None:
    """A block that succeeds fails the cell, with a sentence that names what was expected."""
    with (
        pytest.raises(AssertionError, match="expected KeyError or ValueError, but this block raised nothing"),
        expect((KeyError, ValueError)),
    ):
        pass


def test_expect_lets_another_exception_through(capsys: pytest.CaptureFixture[str]) -> None:
    """An exception of another kind reaches the reader as it is."""
    with pytest.raises(ZeroDivisionError), expect(KeyError):
        _ = 1 / 0
    assert capsys.readouterr().out == ""


def test_expect_refuses_a_text_that_does_not_match() -> None:
    """The right kind with the wrong text is not the failure that the lesson promised."""
    with (
        pytest.raises(AssertionError, match=r"expected ValueError to match 'port', got ValueError: a mask"),
        expect(ValueError, match="port"),
    ):
        raise ValueError("a mask")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError("Connect call failed ('127.0.0.1', 43117)"), "OSError: Connect call failed ('127.0.0.1', …)"),
        (OSError("ws://127.0.0.1:43117/ws is not there"), "OSError: ws://127.0.0.1:…/ws is not there"),
        (TypeError("<function f at 0x7f1200a3b4c0> is wrong"), "TypeError: <function f at 0x…> is wrong"),
        (ValueError("two\n  lines"), "ValueError: two lines"),
    ],
)
def test_expect_leaves_out_what_changes(error: Exception, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Ports, addresses and line breaks do not reach the output that is compared strictly."""
    with expect(type(error)):
        raise error
    assert capsys.readouterr().out == f"{line}\n"


def test_expect_leaves_out_a_version(capsys: pytest.CaptureFixture[str]) -> None:
    """Pydantic's link, which names its version, is left out."""
    with expect(pydantic.ValidationError):
        pydantic.TypeAdapter(int).validate_python("x")
    assert "pydantic.dev" not in capsys.readouterr().out
