"""deploy/compose.yaml: what the Compose specification allows, and at one with the files beside it.

No container is started: that would take images from a registry.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from server.run.cli import parse

DEPLOY = Path(__file__).parents[2] / "deploy"
SPECIFICATION = json.loads((Path(__file__).parent / "compose" / "compose_spec.json").read_text())
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVERS = {name: service for name, service in COMPOSE["services"].items() if name.startswith("server-")}


def test_it_is_a_compose_file() -> None:
    """By the JSON Schema of the specification."""
    jsonschema.Draft7Validator(SPECIFICATION).validate(COMPOSE)


def test_what_is_not_a_compose_file_is_found() -> None:
    """The schema that we test with can fail."""
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(SPECIFICATION).validate(COMPOSE | {"services": {"nginx": {"port": 443}}})


def test_nginx_finds_the_servers() -> None:
    """Each on the port where nginx looks for one, all on the network of the machine."""
    wanted = set(re.findall(r"server 127\.0\.0\.1:(\d+)", (DEPLOY / "nginx.conf").read_text()))
    assert len(wanted) == 2
    commands = [parse(["--demo-login", "--broker", "memory:", *service["command"]]) for service in SERVERS.values()]
    assert {str(command.port) for command in commands} == wanted
    assert {command.host for command in commands} == {"127.0.0.1"}
    assert all(service["network_mode"] == "host" for service in COMPOSE["services"].values())


def test_the_servers_find_the_engine() -> None:
    """Where the example of the settings says, once it answers; and what it has answered is on the disk."""
    words = shlex.split(COMPOSE["services"]["valkey"]["command"])
    options = dict(zip(words[1::2], words[2::2], strict=True))
    broker = re.search(r"^CHAT_BROKER=(.+)$", (DEPLOY / "chat.env.example").read_text(), re.M)
    assert broker is not None
    assert broker[1].startswith(f"valkey://{options['--bind']}:{options['--port']}/")
    assert (options["--appendonly"], options["--appendfsync"]) == ("yes", "always")
    for service in SERVERS.values():
        assert service["depends_on"]["valkey"]["condition"] == "service_healthy"


def test_every_file_that_it_names_is_there() -> None:
    """Beside it, or made from what is."""
    for service in SERVERS.values():
        assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        assert (DEPLOY / f"{service['env_file']}.example").is_file()
    mounted = [volume.split(":")[0] for volume in COMPOSE["services"]["nginx"]["volumes"]]
    assert (DEPLOY / mounted[0]).is_file()


def test_the_drain_has_enough_time() -> None:
    """A server that is stopped gets longer than it takes to drain."""
    drain = parse(["--demo-login", "--broker", "memory:"]).drain_seconds
    for service in SERVERS.values():
        assert int(service["stop_grace_period"].removesuffix("s")) > drain
