"""The stepper: each field and line of a captured conversation, and the state of both ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from bs4 import BeautifulSoup
from fastapi import FastAPI, HTTPException, WebSocket
from lab.drawing.stepper import stepper
from lab.tap.tap import Tap
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

from server import BackgroundServer, serve


@pytest.fixture
def server() -> Iterator[BackgroundServer]:
    """A server that says hello and echoes, has a path that refuses, and one that hangs up without a close frame."""
    app = FastAPI()

    @app.websocket("/ws")
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("hello")
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    @app.websocket("/no")
    async def refuse(websocket: WebSocket) -> None:
        raise HTTPException(401)

    @app.websocket("/rude")
    async def rude(websocket: WebSocket) -> None:
        await websocket.accept()

    with serve(app) as server:
        yield server


def _talk(server: BackgroundServer) -> Tap:
    with Tap(server) as tap, connect(tap.url("/ws"), compression=None, user_agent_header=None) as client:
        client.recv(timeout=15)
        client.send("hi")
        client.recv(timeout=15)
        client.close(1000, "bye")
    return tap


@pytest.fixture
def tap(server: BackgroundServer) -> Tap:
    """A whole conversation."""
    return _talk(server)


def test_handshake_is_stepped_line_by_line(tap: Tap) -> None:
    """A reader stops at each header, and the server is open before the client knows."""
    steps = stepper(tap, "handshake").steps
    assert [step.name for step in steps][:2] == ["request line", "Host"]
    assert "Sec-WebSocket-Accept" in [step.name for step in steps]
    states = list(dict.fromkeys((step.client, step.server) for step in steps))
    assert states == [("CONNECTING", "CONNECTING"), ("CONNECTING", "OPEN"), ("OPEN", "OPEN")]


def test_frame_is_stepped_field_by_field(tap: Tap) -> None:
    """Each field has its bits, the payload its bytes."""
    steps = stepper(tap.frames[0]).steps
    assert [(step.name, step.bits) for step in steps] == [
        ("FIN", "1......."),
        ("RSV", ".000...."),
        ("opcode", "....0001"),
        ("MASK", "0......."),
        ("length", ".0000101"),
        ("payload", ""),
    ]
    assert bytes.fromhex("".join(byte.hex for byte in steps[-1].data[2:])) == b"hello"
    assert {(step.client, step.server) for step in steps} == {("OPEN", "OPEN")}


def test_close_passes_through_every_state(tap: Tap) -> None:
    """The end that closes is closing first, the other when it has read the frame, both are closed with TCP."""
    steps = stepper(tap, "close").steps
    assert {"code", "reason"} <= {step.name for step in steps}
    states = list(dict.fromkeys((step.client, step.server) for step in steps))
    assert states == [("CLOSING", "OPEN"), ("CLOSING", "CLOSING"), ("CLOSED", "CLOSED")]
    assert steps[-1].name == "TCP connection closed"


def test_parts_make_the_whole(tap: Tap) -> None:
    """What "all" shows is the handshake and then the frames."""
    whole, handshake, frames = (stepper(tap, part).steps for part in ("all", "handshake", "frames"))
    assert whole == handshake + frames
    assert stepper(tap, "close").steps == frames[-len(stepper(tap, "close").steps) :]


def test_stepper_is_the_same_every_time(server: BackgroundServer, tap: Tap) -> None:
    """Keys, masks, dates and ports are left out, or the strict re-run would compare them."""
    again = _talk(server)
    assert stepper(tap).html == stepper(again).html
    assert str(stepper(tap)) == str(stepper(again))
    key = tap.conversations[0].request.headers["Sec-WebSocket-Key"]  # type: ignore[union-attr]
    assert key not in stepper(tap).html


def test_html_needs_no_script_and_names_every_step(tap: Tap) -> None:
    """Radio buttons in a form of their own, so that several steppers on one page do not disturb each other."""
    shown = stepper(tap, "frames")
    page = BeautifulSoup(shown.html, "html.parser")
    assert page.form is not None
    assert not page.select("script, [id], [onclick]")
    buttons = page.form.select("input[type=radio]")
    assert [one["aria-label"] for one in buttons] == [
        f"{number} of {len(shown.steps)}: {step.name}" for number, step in enumerate(shown.steps, 1)
    ]
    assert [one.has_attr("checked") for one in buttons].count(True) == 1
    assert all(one.find_next_sibling().name == "div" for one in buttons)  # type: ignore[union-attr]


@pytest.mark.parametrize("start", [1, 6])
def test_stepper_starts_where_it_is_told_to(tap: Tap, start: int) -> None:
    """Known steps stay there, and the one that is new is shown at first."""
    page = BeautifulSoup(stepper(tap, "close", start=start).html, "html.parser")
    checked = [bool(one.has_attr("checked")) for one in page.select("input[type=radio]")]
    assert [number for number, one in enumerate(checked, 1) if one] == [start]


def test_text_twin_says_what_the_html_says(tap: Tap) -> None:
    """Whoever sees only text has each name, each meaning and each state."""
    shown = stepper(tap, "close")
    bundle = shown._repr_mimebundle_()
    assert bundle["text/plain"] == shown.text == repr(shown)
    for step in shown.steps:
        assert step.name in shown.text
        assert step.meaning in shown.text
        assert f"{step.client:>10} / {step.server}" in shown.text


def test_what_the_peer_sends_is_escaped(server: BackgroundServer) -> None:
    """A message is shown as text, never as HTML."""
    with Tap(server) as tap, connect(tap.url("/ws"), compression=None) as client:
        client.recv(timeout=15)
        client.send("<b>&\x1b")
        client.recv(timeout=15)
    assert "<b>&\x1b" not in stepper(tap).html
    assert "&lt;b&gt;&amp;\\x1b" in stepper(tap).html


def test_refusal_ends_closed(server: BackgroundServer) -> None:
    """A handshake that is refused never opens either end."""
    with Tap(server) as tap, pytest.raises(InvalidStatus), connect(tap.url("/no")):
        pass
    steps = stepper(tap).steps
    assert "OPEN" not in {step.client for step in steps} | {step.server for step in steps}
    assert (steps[-1].client, steps[-1].server) == ("CLOSED", "CLOSED")


def test_end_without_a_close_frame_is_a_step(server: BackgroundServer) -> None:
    """A handler that returns ends the connection at once."""
    with Tap(server) as tap, connect(tap.url("/rude")) as client, pytest.raises(ConnectionClosedError):
        client.recv(timeout=15)
    last = stepper(tap).steps[-1]
    assert last.name == "TCP end without a close frame"
    assert (last.client, last.server) == ("CLOSED", "CLOSED")


def test_what_cannot_be_stepped_is_told(server: BackgroundServer, tap: Tap) -> None:
    """Two connections, none, an unknown part: the error names what to pass."""
    with Tap(server) as several:
        for _ in range(2):
            with connect(several.url("/ws")):
                pass
    with pytest.raises(ValueError, match=r"saw 2 connections; pass one of them"):
        stepper(several)
    with pytest.raises(ValueError, match=r"must be one of 'all', 'handshake', 'frames', 'close', got 'bits'"):
        stepper(tap, "bits")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"start must be a step from 1 to 6, got 8"):
        stepper(tap.frames[0], start=8)
    with Tap(server) as refused, pytest.raises(InvalidStatus), connect(refused.url("/no")):
        pass
    with pytest.raises(ValueError, match="nothing to show of 'close'"):
        stepper(refused, "close")
