"""The kernel's half of the browser client; its other half runs in tests/browser."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import anywidget
import pytest
from fastapi import FastAPI
from ipywidgets import HBox  # type: ignore[import-untyped]
from lab.clients.browser import EVENTS_KEPT, BrowserClient

from server import serve


def report(client: BrowserClient, state: str, *events: dict[str, Any]) -> None:
    """What the browser sends to the kernel."""
    data = {"method": "custom", "content": {"state": state, "events": list(events)}}
    client.comm.handle_msg({"content": {"data": data}, "buffers": []})


def test_repr_is_the_same_for_every_port_and_ticket() -> None:
    """A static notebook shows one helpful sentence, and a strict re-run finds the same one."""
    first, second = BrowserClient(8000, "/ws?ticket=abc"), BrowserClient(8001, "/ws?ticket=xyz")
    expected = "BrowserClient('/ws') — run this cell in JupyterLab to open a WebSocket from your browser"
    for client in (first, second):
        data, metadata = client._repr_mimebundle_()  # type: ignore[misc]
        assert data.pop("application/vnd.jupyter.widget-view+json")
        assert (data, metadata) == ({"text/plain": expected}, {})


def test_repr_of_a_box_is_the_same_for_every_port() -> None:
    """Two clients side by side do not spoil the strict re-run either."""
    first, second = (HBox([BrowserClient(port), BrowserClient(port + 1)]) for port in (8000, 9000))
    assert first._repr_mimebundle_()["text/plain"] == second._repr_mimebundle_()["text/plain"]


def test_server_is_a_running_server_or_a_port() -> None:
    """The browser gets the port of anything that has an address."""
    with serve(FastAPI()) as server:
        assert BrowserClient(server).get_state(["_port"]) == {"_port": server.port}
    assert BrowserClient(8000).get_state(["_port"]) == {"_port": 8000}


def test_tls_and_a_relative_path_are_refused() -> None:
    """Both would fail in the browser without a reason, so they fail here with one."""

    class Secure:
        def url(self, path: str = "/") -> str:
            return f"wss://127.0.0.1:8443{path}"

    with pytest.raises(ValueError, match="does not trust"):
        BrowserClient(Secure())
    with pytest.raises(ValueError, match=r"got 'ws'; write '/ws'"):
        BrowserClient(8000, "ws")


def test_a_limit_of_silence_is_checked() -> None:
    """A question without a limit would never be asked, and a limit of nothing would end everything."""
    assert BrowserClient(8000).get_state(["_idle_timeout", "_ping"]) == {"_idle_timeout": None, "_ping": None}
    with pytest.raises(ValueError, match=r"idle_timeout must be above 0 seconds, got -1; None is for no limit"):
        BrowserClient(8000, idle_timeout=-1)
    with pytest.raises(ValueError, match=r"ping 'hello' is sent after half of idle_timeout; pass idle_timeout"):
        BrowserClient(8000, ping="hello")


def test_reports_reach_events_state_and_callback() -> None:
    """Python knows what the browser saw, in its order."""
    heard: list[dict[str, Any]] = []
    client = BrowserClient(8000, on_event=heard.append)
    assert (client.state, client.events) == ("closed", [])
    opened, message = {"event": "open", "route": "direct", "protocol": ""}, {"event": "message", "data": "hi"}
    report(client, "open", opened, message)
    assert (client.state, client.events, heard) == ("open", [opened, message], [opened, message])


def test_events_are_bounded() -> None:
    """A server that never stops sending does not fill the kernel's memory."""
    client = BrowserClient(8000)
    for number in range(EVENTS_KEPT + 5):
        report(client, "open", {"event": "message", "data": str(number)})
    assert len(client.events) == EVENTS_KEPT
    assert client.events[0]["data"] == "5"


def test_commands_are_sent_to_the_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    """connect, send and close are messages to the front end, and close does not end the widget."""
    sent: list[object] = []
    monkeypatch.setattr(anywidget.AnyWidget, "send", lambda _self, content: sent.append(content))
    client = BrowserClient(8000)
    client.connect()
    client.send("hi")
    client.close(4001, "enough")
    assert sent == [
        {"command": "connect"},
        {"command": "send", "text": "hi"},
        {"command": "close", "code": 4001, "reason": "enough"},
    ]
    assert client.comm is not None


def test_a_process_with_a_client_ends_silently() -> None:
    """Every widget is closed at exit: ours must not complain then."""
    script = "from lab.clients.browser import BrowserClient; client = BrowserClient(8000)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=True)
    assert (done.stdout, done.stderr) == ("", "")
