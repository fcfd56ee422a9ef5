"""What our protocols use of uvicorn without its promise: each name, so that a new release says which one it changed."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, WebSocket
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.sync.client import connect

import server.wire.http_protocol
import server.wire.light_protocol
import server.wire.limited_protocol
import server.wire.protocol
from server import serve
from server.wire.light_protocol import LightProtocol, ReceiveQueue, WritableEvent
from server.wire.protocol import EXTENSION, FanoutProtocol

WEBSOCKET_ATTRIBUTES = {
    "app_state",
    "close_sent",
    "close_timeout",
    "close_timer",
    "conn",
    "disconnected",
    "frames",
    "handshake_complete",
    "loop",
    "ping_timeout",
    "pong_timer",
    "queue",
    "read_paused",
    "request",
    "response",
    "scope",
    "transport",
    "writable",
}
WEBSOCKET_METHODS = {
    "connection_lost": ("exc",),
    "data_received": ("data",),
    "eof_received": (),
    "handle_close": ("event",),
    "handle_connect": ("event",),
    "handle_cont": ("event",),
    "handle_parser_exception": (),
    "handle_ping": (),
    "handle_pong": ("event",),
    "keepalive_timeout": (),
    "pause_writing": (),
    "receive": (),
    "resume_writing": (),
    "on_task_complete": ("task",),
    "send": ("message",),
    "send_receive_event_to_app": (),
    "shutdown": (),
}
HTTP_ATTRIBUTES = {"conn", "cycle", "loop", "server_state", "timeout_keep_alive", "transport"}
HTTP_METHODS = {
    "connection_lost": ("exc",),
    "connection_made": ("transport",),
    "data_received": ("data",),
    "eof_received": (),
    "handle_events": (),
    "handle_websocket_upgrade": ("event",),
    "on_response_complete": (),
    "pause_writing": (),
    "resume_writing": (),
    "send_400_response": ("msg",),
    "shutdown": (),
    "timeout_keep_alive_handler": (),
}


def changed(name: str) -> str:
    """What a failure says."""
    return f"uvicorn changed {name} (this is {uvicorn.__version__}); look at what server/wire/ does with it"


@pytest.mark.parametrize(
    ("protocol", "methods"), [(WebSocketsSansIOProtocol, WEBSOCKET_METHODS), (H11Protocol, HTTP_METHODS)]
)
def test_the_methods_that_we_override_take_the_same_arguments(
    protocol: type, methods: dict[str, tuple[str, ...]]
) -> None:
    """Each of them, by name."""
    for name, parameters in methods.items():
        method = getattr(protocol, name, None)
        assert method is not None, changed(f"{protocol.__name__}.{name}")
        own = tuple(inspect.signature(method).parameters)[1:]
        assert own == parameters, changed(f"the arguments of {protocol.__name__}.{name}")


@contextmanager
def websocket_protocol() -> Iterator[FanoutProtocol]:
    """The protocol of an open connection."""
    app = FastAPI()
    protocols: list[FanoutProtocol] = []

    @app.websocket("/ws")
    async def handler(websocket: WebSocket) -> None:
        protocol = websocket.scope["extensions"][EXTENSION]["connection"]
        for name in ("request", "response"):
            assert hasattr(protocol, name), changed(name)
        protocols.append(protocol)
        await websocket.accept()
        await websocket.receive_text()

    with serve(app, ws=FanoutProtocol) as running, connect(running.url("/ws"), proxy=None) as client:
        client.send("hello")
        client.close()
        yield protocols[0]


def test_a_connection_has_the_attributes_that_we_use() -> None:
    """Of a real connection: many are set in `__init__` only."""
    with websocket_protocol() as protocol:
        for name in WEBSOCKET_ATTRIBUTES - {"request", "response"}:
            assert hasattr(protocol, name), changed(name)
        assert not hasattr(protocol, "request"), "it is released once the handshake is complete"


def test_each_attribute_of_a_connection_has_its_slot() -> None:
    """With more than 30 of them in a dict, that dict would take 1.5 KiB of each connection."""
    assigned = assigned_in(WebSocketsSansIOProtocol.__init__) | assigned_in(WebSocketsSansIOProtocol.handle_connect)
    assert assigned == set(LightProtocol.__slots__), changed("the attributes of a connection; see LightProtocol")
    with websocket_protocol() as protocol:
        assert len(protocol.__dict__) < 30


@pytest.mark.parametrize(("name", "stand_in"), [("queue", ReceiveQueue), ("writable", WritableEvent)])
def test_the_stand_ins_have_the_methods_that_uvicorn_calls(name: str, stand_in: type) -> None:
    """A method that only asyncio's own class has would fail in the middle of a connection."""
    called = set(re.findall(rf"self\.{name}\.(\w+)\(", inspect.getsource(WebSocketsSansIOProtocol)))
    assert called
    assert called <= set(dir(stand_in)), changed(f"what it calls of its {name}")


def test_a_request_has_the_attributes_that_we_use() -> None:
    """The classes set them in `__init__`; read there."""
    for owner, names in ((H11Protocol, HTTP_ATTRIBUTES), (RequestResponseCycle, {"scope"})):
        assigned = assigned_in(owner.__init__) | (assigned_in(owner.connection_made) if owner is H11Protocol else set())
        for name in names:
            assert name in assigned, changed(f"{owner.__name__}.{name}")


def assigned_in(method: Callable[..., Any]) -> set[str]:
    """Return what a method assigns to attributes of self."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(method)))
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}


def used_of(module: Any, base: type) -> set[str]:
    """Return the attributes of self that a module uses, and that its base class brings along."""
    tree = ast.parse(inspect.getsource(module))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    }
    source = inspect.getsource(base)
    return {
        name
        for name in used
        if (not name.startswith("_") and f"self.{name}" in source) or (f"def {name}(" in source and name in used)
    }


@pytest.mark.parametrize(
    ("modules", "base", "known"),
    [
        (
            (server.wire.light_protocol, server.wire.protocol, server.wire.limited_protocol),
            WebSocketsSansIOProtocol,
            WEBSOCKET_ATTRIBUTES | WEBSOCKET_METHODS.keys(),
        ),
        ((server.wire.http_protocol,), H11Protocol, HTTP_ATTRIBUTES | HTTP_METHODS.keys()),
    ],
    ids=["websocket", "http"],
)
def test_nothing_else_of_uvicorn_is_used(modules: tuple[Any, ...], base: type, known: set[str]) -> None:
    """A new dependency on uvicorn's inside is added to the lists above, or is not made."""
    used = set[str]().union(*(used_of(module, base) for module in modules))
    assert used <= known, f"add to the contract: {sorted(used - known)}"
