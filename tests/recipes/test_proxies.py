"""HAProxy with the configuration of the recipe, Traefik's file, and the manifest for Kubernetes."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from fastapi import FastAPI, WebSocket
from jsonschema import Draft202012Validator
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from server import serve
from server.run.cli import Command
from tests.ports import free_ports
from tests.recipes.recipe import code

DEADLINE = 60.0
HAPROXY = shutil.which("haproxy") or "/usr/sbin/haproxy"
SCHEMA = Path(__file__).parent / "kubernetes" / "schema.json"


def app() -> FastAPI:
    """Say who is calling, as far as the proxy has told us."""
    app = FastAPI()

    @app.get("/healthz/ready")
    async def ready() -> str:
        return "ok"

    @app.get("/metrics")
    async def metrics() -> str:
        return "secret"

    @app.websocket("/ws")
    async def who(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json([websocket.headers.get(f"x-forwarded-{name}") for name in ("for", "proto")])
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    return app


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """HAProxy with the recipe's file: without TLS, and with one second for a silent WebSocket."""
    if not Path(HAPROXY).exists():
        pytest.skip("HAProxy is not installed; on Debian and Ubuntu: apt install haproxy")
    (port,) = free_ports(1)
    with serve(app(), ws_ping_interval=None) as one, serve(app(), ws_ping_interval=None) as two:
        (text,) = code("proxies", "text")
        changes = {
            "bind :443 ssl crt /etc/chat/tls/chat.pem": f"bind 127.0.0.1:{port}",
            "timeout tunnel 75s": "timeout tunnel 1s",
            "127.0.0.1:8001": f"127.0.0.1:{one.port}",
            "127.0.0.1:8002": f"127.0.0.1:{two.port}",
        }
        for old, new in changes.items():
            assert text.count(old) == 1
            text = text.replace(old, new)
        file = tmp_path / "haproxy.cfg"
        file.write_text(text, encoding="utf-8")
        process = subprocess.Popen([HAPROXY, "-db", "-f", str(file)], stderr=subprocess.DEVNULL)
        try:
            _until_it_answers(port)
            yield f"127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait(DEADLINE)


def _until_it_answers(port: int) -> None:
    until = time.monotonic() + DEADLINE
    while time.monotonic() < until:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/healthz/ready", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.02)
    pytest.fail("HAProxy did not answer in time")


def test_a_websocket_passes_haproxy_with_the_real_address(address: str) -> None:
    """What a client has made up is replaced, and text goes both ways."""
    forged = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "http"}
    with connect(f"ws://{address}/ws", additional_headers=forged, proxy=None) as client:
        assert json.loads(client.recv(timeout=DEADLINE)) == ["127.0.0.1", "https"]
        client.send("hello")
        assert client.recv(timeout=DEADLINE) == "hello"


def test_haproxy_closes_a_silent_websocket_without_a_word(address: str) -> None:
    """It is `timeout tunnel` that counts: no close frame comes, so a client reads 1006."""
    with connect(f"ws://{address}/ws", ping_interval=None, proxy=None) as client:
        client.recv(timeout=DEADLINE)
        with pytest.raises(ConnectionClosedError):
            client.recv(timeout=DEADLINE)
    assert client.close_code == 1006


def test_haproxy_hides_the_metrics(address: str) -> None:
    """Whatever way the path is written."""
    host, _, port = address.partition(":")
    for path in ("/metrics", "//metrics", "/%6detrics"):
        with socket.create_connection((host, int(port)), DEADLINE) as raw:  # httpx would tidy the path
            raw.sendall(f"GET {path} HTTP/1.1\r\nHost: chat\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: raw.recv(65_536), b""))
        assert answer.startswith(b"HTTP/1.1 404 ")


def test_traefik_has_a_service_for_each_router() -> None:
    """The file is read; each router names a service that is there, and each server has an address."""
    (text,) = code("proxies", "yaml")
    http = yaml.safe_load(text)["http"]
    assert {router["service"] for router in http["routers"].values()} == set(http["services"])
    for service in http["services"].values():
        assert all(re.fullmatch(r"http://[\d.]+:\d+", one["url"]) for one in service["loadBalancer"]["servers"])


def manifests() -> list[dict[str, Any]]:
    """What the recipe gives to kubectl."""
    (text,) = code("kubernetes", "yaml")
    return list(yaml.safe_load_all(text))


@pytest.mark.parametrize("manifest", manifests(), ids=lambda one: one["kind"])
def test_kubernetes_takes_the_manifest(manifest: dict[str, Any]) -> None:
    """By its schema, which refuses what it doesn't know."""
    schema = Draft202012Validator(json.loads(SCHEMA.read_bytes()))
    assert [error.message for error in schema.iter_errors(manifest)] == []
    assert list(schema.iter_errors(manifest | {"spec": manifest["spec"] | {"unknown": 1}}))


def test_nothing_is_killed_before_it_has_drained() -> None:
    """Waiting and draining fit into the grace period, and the settings are those of the server."""
    deployment, service = manifests()
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    settings = {one["name"]: one["value"] for one in container["env"]}
    waiting = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert waiting + int(settings["CHAT_DRAIN_SECONDS"]) < pod["terminationGracePeriodSeconds"]
    assert {name.removeprefix("CHAT_").lower() for name in settings} <= set(Command.model_fields)
    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]
