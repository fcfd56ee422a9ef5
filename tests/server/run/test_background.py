"""`serve(app)` on a real socket: it starts, it stops, and each failure is one sentence."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
from fastapi import FastAPI, WebSocket
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed, ConnectionClosedError
from websockets.sync.client import ClientConnection, connect

import server
from server import ServerError, StartError, StopError, serve
from server.run import background
from server.run.background import running

NO_UVLOOP = pytest.mark.skipif(sys.platform == "win32", reason="there is no uvloop on Windows")


def echo_app() -> FastAPI:
    """An app with an echo, a handler that ignores its cancellation, and a plain route."""
    app = FastAPI()
    app.state.held = threading.Event()

    @app.get("/")
    async def root() -> str:
        return "here"

    @app.websocket("/ws")
    async def ws(websocket: WebSocket) -> None:
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    @app.websocket("/busy")
    async def busy(websocket: WebSocket) -> None:
        await websocket.accept()
        while True:
            await websocket.send_text("x" * 10_000)
            await asyncio.sleep(0)  # sending alone never lets go of the loop while the client keeps up

    @app.websocket("/stuck")
    async def stuck(websocket: WebSocket) -> None:
        await websocket.accept()
        for _ in range(3):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue

    @app.websocket("/block")
    async def block(websocket: WebSocket) -> None:
        await websocket.accept()
        app.state.held.wait(30)

    @app.websocket("/crash")
    async def crash(websocket: WebSocket) -> None:
        await websocket.accept()
        raise ValueError("the handler's own mistake")

    @app.websocket("/group")
    async def group(websocket: WebSocket) -> None:
        async def fail() -> None:
            raise KeyError("two\nlines")

        await websocket.accept()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail())

    return app


def websocket_messages(websocket: ClientConnection) -> Iterator[str | bytes]:
    """Every message until the connection is closed, normally or not."""
    with suppress(ConnectionClosed):
        while True:
            yield websocket.recv(timeout=15)


async def echoed(url: str, context: ssl.SSLContext) -> str | bytes:
    """What comes back for "hello"; the synchronous client shares a TLS session between threads and may hang."""
    async with connect_async(url, ssl=context) as websocket:
        await websocket.send("hello")
        return await asyncio.wait_for(websocket.recv(), 30)


def run_script(body: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a new interpreter; return its output."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(body)], capture_output=True, text=True, timeout=100, check=False
    )


def test_serve_returns_when_the_server_accepts() -> None:
    """The first connection after serve() succeeds, over WebSocket and over HTTP."""
    with serve(echo_app()) as running_server:
        with connect(running_server.url("/ws")) as websocket:
            websocket.send("hello")
            assert websocket.recv(timeout=15) == "hello"
        with urllib.request.urlopen(running_server.http("/"), timeout=15) as response:
            assert response.read() == b'"here"'


def test_addresses_name_this_machine_only() -> None:
    """The server listens on 127.0.0.1, and a path may be given with or without its slash."""
    with serve(echo_app()) as running_server:
        assert running_server.url("ws") == running_server.url("/ws") == f"ws://127.0.0.1:{running_server.port}/ws"
        assert running_server.http() == f"http://127.0.0.1:{running_server.port}/"


def test_stop_while_idle_refuses_new_connections() -> None:
    """After stop() nothing listens on the port any more and the thread is gone."""
    running_server = serve(echo_app())
    assert running() == (running_server,)
    running_server.stop()
    assert not running_server.alive
    assert running() == ()
    with pytest.raises(ConnectionRefusedError), connect(running_server.url("/ws")):
        pass


@pytest.mark.parametrize("path", ["/ws", "/busy", "/stuck"])
def test_stop_closes_connections_with_1012(path: str) -> None:
    """A client of an idle, a busy and a stuck handler sees 1012 when the server stops."""
    running_server = serve(echo_app())
    with connect(running_server.url(path)) as websocket:
        stopper = threading.Thread(target=running_server.stop)
        stopper.start()
        for _ in websocket_messages(websocket):
            pass
        stopper.join(15)
        assert websocket.close_code == 1012
    assert not running_server.alive


def test_stop_with_a_client_that_never_reads() -> None:
    """A full send buffer does not hold up stop()."""
    running_server = serve(echo_app())
    with connect(running_server.url("/busy"), max_queue=1, close_timeout=0.1):
        running_server.stop()
    assert not running_server.alive


def test_stop_says_where_a_handler_blocks_the_loop() -> None:
    """A handler that blocks the thread cannot be ended; the error names its line and the remedy."""
    app = echo_app()
    running_server = serve(app)
    with connect(running_server.url("/block")):
        with pytest.raises(StopError, match=r"blocks its loop in .*line \d+.*asyncio.to_thread"):
            running_server.stop()
        app.state.held.set()
        running_server.stop()
    assert not running_server.alive


@pytest.mark.parametrize("loop", ["asyncio", pytest.param("uvloop", marks=NO_UVLOOP)])
def test_a_thread_that_is_ended_from_outside_leaves_nothing(loop: str) -> None:
    """SystemExit ends a loop at once; a stop that was still on its way must not end the clean-up."""
    app = FastAPI()

    @app.websocket("/ws")
    async def ws(websocket: WebSocket) -> None:
        await websocket.accept()
        here = asyncio.get_running_loop()
        here.call_soon(sys.exit)
        here.call_soon(here.stop)
        await asyncio.Event().wait()

    running_server = serve(app, loop=loop)
    with connect(running_server.url("/ws"), close_timeout=0.1):
        running_server._thread.join(15)
    assert not running_server.alive
    assert running_server._loop.is_closed()
    running_server.stop()


def test_stop_twice_is_harmless() -> None:
    """The second stop() returns at once."""
    running_server = serve(echo_app())
    running_server.stop()
    running_server.stop()
    assert not running_server.alive


def test_stop_from_its_own_handler_is_refused() -> None:
    """A handler that stops its own server gets an error instead of a deadlock."""
    app = FastAPI()
    errors: list[BaseException] = []

    @app.websocket("/ws")
    async def ws(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            running_server.stop()
        except StopError as error:
            errors.append(error)
        await websocket.close()

    running_server = serve(app)
    with connect(running_server.url("/ws")) as websocket, pytest.raises(ConnectionClosed):
        websocket.recv(timeout=15)
    assert "by a handler of the same server" in str(errors[0])


def test_ten_servers_at_once_keep_apart() -> None:
    """Ten servers of one process answer on ten ports and keep ten logs."""
    servers = [serve(echo_app()) for _ in range(10)]
    assert len({one.port for one in servers}) == 10
    with connect(servers[3].url("/crash")) as websocket, pytest.raises(ConnectionClosed):
        websocket.recv(timeout=15)
    assert [any(record.exc_info for record in one.log) for one in servers] == [index == 3 for index in range(10)]
    for one in servers:
        one.stop()


def test_connections_counts_open_websockets() -> None:
    """`connections` counts WebSockets, and not the HTTP connection that is kept alive."""
    with serve(echo_app()) as running_server:
        assert running_server.connections == 0
        with connect(running_server.url("/ws")), connect(running_server.url("/ws")):
            assert running_server.connections == 2


def test_log_keeps_what_the_handler_raised() -> None:
    """A handler's exception is in the server's log, with its traceback, and nowhere else."""
    with serve(echo_app()) as running_server:
        with connect(running_server.url("/crash")) as websocket, pytest.raises(ConnectionClosedError):
            websocket.recv(timeout=15)
        [record] = [record for record in running_server.log if record.exc_info]
        assert record.exc_info is not None
        assert isinstance(record.exc_info[1], ValueError)
        last = str(running_server.log).splitlines()[-1]
        assert last.startswith(
            "ERROR    Exception in ASGI application: ValueError: the handler's own mistake, in crash: "
        )
        assert last.endswith('raise ValueError("the handler\'s own mistake")')


def test_the_log_of_a_group_names_its_first_error_in_one_line() -> None:
    """A handler with a task group that fails: the log has a line for it, and no traceback of twenty."""
    with serve(echo_app()) as running_server:
        with connect(running_server.url("/group")) as websocket, pytest.raises(ConnectionClosed):
            websocket.recv(timeout=15)
        [last] = [line for line in str(running_server.log).splitlines() if line.startswith("ERROR")]
    assert last.endswith(r"""KeyError: 'two\nlines', in fail: raise KeyError("two\nlines")""")


def test_a_task_that_fails_unseen_is_logged() -> None:
    """An exception in a task that isn't awaited appears in the log, not in a later cell."""
    app = FastAPI()

    @app.websocket("/ws")
    async def ws(websocket: WebSocket) -> None:
        await websocket.accept()

        async def fail() -> None:
            raise KeyError("lost")

        task = asyncio.create_task(fail())
        await asyncio.wait([task])
        del task
        await websocket.close()

    with serve(app) as running_server:
        with connect(running_server.url("/ws")) as websocket, pytest.raises(ConnectionClosed):
            websocket.recv(timeout=15)
        messages = [record.getMessage() for record in running_server.log]
        assert "Task exception was never retrieved" in messages


@pytest.mark.anyio
async def test_tls_is_served_and_named(tmp_path: Path) -> None:
    """With a certificate the address is wss:// and a verifying client connects."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    key.write_bytes(certificate.private_key_pem.bytes())
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with serve(echo_app(), ssl_certfile=chain, ssl_keyfile=key) as running_server:
        assert running_server.url("/ws").startswith("wss://")
        assert running_server.http("/").startswith("https://")
        assert await echoed(running_server.url("/ws"), context) == "hello"


@pytest.mark.parametrize("loop", ["asyncio", pytest.param("uvloop", marks=NO_UVLOOP)])
def test_a_small_message_does_not_wait_for_the_last_one(loop: str) -> None:
    """Nagle's algorithm is off: asyncio does that only for a socket which knows that it is TCP."""
    seen = []

    class Watched(WebSocketsSansIOProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            seen.append(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            super().connection_made(transport)

    with serve(echo_app(), ws=Watched, loop=loop) as running_server, connect(running_server.url("/ws")) as client:
        client.send("hello")
        assert client.recv(timeout=15) == "hello"
    assert [value != 0 for value in seen] == [True]


def test_taken_port_is_named_with_the_remedy() -> None:
    """A port in use is refused with its number and the way out."""
    with (
        serve(echo_app()) as running_server,
        pytest.raises(StartError, match=rf"port {running_server.port} .*in use.*pass port=0"),
    ):
        serve(echo_app(), port=running_server.port)


@pytest.mark.parametrize("port", [-1, 70_000])
def test_impossible_port_is_refused(port: int) -> None:
    """A number that is no port is named."""
    with pytest.raises(StartError, match=rf"port {port} .*pass port=0"):
        serve(echo_app(), port=port)


@pytest.mark.parametrize("app", [None, 3, {"app": "x"}])
def test_object_that_cannot_be_called_is_no_app(app: object) -> None:
    """Something that is not callable is refused before a thread is started."""
    with pytest.raises(StartError, match=r"needs an ASGI app such as FastAPI\(\), got "):
        serve(app)


def test_function_with_other_parameters_is_no_app() -> None:
    """For a factory, the error says that a call is missing."""
    with pytest.raises(StartError, match=r"does not take \(scope, receive, send\); call it first"):
        serve(echo_app)
    with pytest.raises(StartError, match=r"does not take \(scope, receive, send\); pass the FastAPI\(\) object"):
        serve(lambda environ, start_response: None)


def test_app_that_fails_to_import_names_the_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of an app's module is in the message, for a missing and for a broken module."""
    (tmp_path / "app_that_divides.py").write_text("app = 1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(StartError, match=r"cannot import 'app_that_divides:app': ZeroDivisionError"):
        serve("app_that_divides:app")
    with pytest.raises(StartError, match=r'cannot import \'no_such_app:app\': .*"no_such_app"'):
        serve("no_such_app:app")


@asynccontextmanager
async def failing_lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Fail before the yield."""
    raise RuntimeError("the database is down")
    yield


@asynccontextmanager
async def hanging_lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Never come to the yield."""
    await asyncio.Event().wait()
    yield


def test_failing_lifespan_names_the_cause() -> None:
    """An exception before the lifespan's yield is the message and the cause of the error."""
    with pytest.raises(StartError, match="failed with RuntimeError: the database is down") as raised:
        serve(FastAPI(lifespan=failing_lifespan))
    assert isinstance(raised.value.__cause__, RuntimeError)
    assert running() == ()


def test_hanging_lifespan_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lifespan that never yields ends in an error that says so, and leaves no thread."""
    monkeypatch.setattr(background, "START_DEADLINE", 0.2)
    with pytest.raises(StartError, match=r"did not reach its yield within 0.2 s; give what it waits for a deadline"):
        serve(FastAPI(lifespan=hanging_lifespan))


def test_unknown_option_is_named() -> None:
    """A misspelt option is refused with its name."""
    with pytest.raises(StartError, match=r"'wsmaxsize'.*; see uvicorn.Config"):
        serve(echo_app(), wsmaxsize=1)


def test_missing_certificate_is_named() -> None:
    """The error names the option that uvicorn can't use, and doesn't blame the app."""
    with pytest.raises(StartError, match=r"did not start: FileNotFoundError: .*check the options"):
        serve(echo_app(), ssl_certfile="no-such-file.pem")


def test_unknown_loop_is_named() -> None:
    """A loop that cannot be imported is refused before a thread is started."""
    with pytest.raises(StartError, match=r'did not start: .*"no_such_loop"'):
        serve(echo_app(), loop="no_such_loop:new")


def test_a_mistake_in_the_new_app_leaves_the_old_server() -> None:
    """A serve() that is refused for its app does not touch servers that run."""
    with serve(echo_app()) as running_server:
        with pytest.raises(StartError):
            serve(None)
        assert running_server.alive


def test_block_that_fails_stops_the_server() -> None:
    """Leaving the block by an exception stops the server as well."""
    with pytest.raises(ZeroDivisionError), serve(echo_app()) as running_server:
        raise ZeroDivisionError
    assert not running_server.alive


def test_options_reach_uvicorn() -> None:
    """A limit given to serve() is uvicorn's: a larger message closes the connection with 1009."""
    with serve(echo_app(), ws_max_size=100) as running_server, connect(running_server.url("/ws")) as websocket:
        websocket.send("x" * 101)
        with pytest.raises(ConnectionClosedError) as closed:
            websocket.recv(timeout=15)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


def test_interpreter_ends_with_a_server_running() -> None:
    """A script that forgets stop() ends at once, with its client told 1012, and prints nothing."""
    result = run_script(
        """
        import asyncio
        from fastapi import FastAPI, WebSocket
        from server import serve
        from websockets.sync.client import connect

        app = FastAPI()

        @app.websocket("/ws")
        async def ws(websocket: WebSocket) -> None:
            await websocket.accept()
            await asyncio.Event().wait()

        websocket = connect(serve(app).url("/ws"), legacy=True)
        """
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


NEST = """
{first}
{second}
from fastapi import FastAPI, WebSocket
from server import serve
from websockets.sync.client import connect

app = FastAPI()

@app.websocket("/ws")
async def ws(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)

for loop in {loops}:
    with serve(app, loop=loop) as server, connect(server.url("/ws")) as websocket:
        websocket.send(loop)
        print(websocket.recv(timeout=15))
"""


@pytest.mark.parametrize("order", ["before", "after", "never"])
def test_works_with_nest_asyncio(order: str) -> None:
    """nest-asyncio may be applied before uvicorn is imported, after it, or not at all; with asyncio and uvloop."""
    apply = "import nest_asyncio; nest_asyncio.apply()" if order != "never" else ""
    lines = [apply, "import uvicorn"] if order == "before" else ["import uvicorn", apply]
    loops = ["asyncio"] if sys.platform == "win32" else ["asyncio", "uvloop"]
    result = run_script(NEST.format(first=lines[0], second=lines[1], loops=loops))
    assert (result.stdout.split(), result.stderr) == (loops, "")


def test_works_inside_a_running_loop_with_nest_asyncio() -> None:
    """As in a notebook after nest_asyncio.apply(): serve() and asyncio.run() inside a running loop."""
    result = run_script(
        """
        import asyncio, nest_asyncio
        nest_asyncio.apply()
        from fastapi import FastAPI, WebSocket
        from server import serve
        from websockets.asyncio.client import connect

        app = FastAPI()

        @app.websocket("/ws")
        async def ws(websocket: WebSocket) -> None:
            await websocket.accept()
            await websocket.send_text("hello")
            await websocket.receive()

        async def script(url: str) -> None:
            async with connect(url) as websocket:
                print(await websocket.recv())

        async def cell() -> None:
            with serve(app) as server:
                await script(server.url("/ws"))
                asyncio.run(script(server.url("/ws")))

        loop = asyncio.new_event_loop()
        loop.run_until_complete(cell())
        """
    )
    assert (result.stdout.split(), result.stderr) == (["hello", "hello"], "")


def test_public_names() -> None:
    """The public names of the package are these, and all of them exist."""
    assert sorted(server.__all__) == [
        "BackgroundServer",
        "ServerError",
        "ServerProcess",
        "StartError",
        "StopError",
        "serve",
        "serve_process",
        "stop_all",
    ]
    names: list[Any] = [getattr(server, name) for name in server.__all__]
    assert all(names)
    assert issubclass(StartError, ServerError)
    assert issubclass(StopError, ServerError)
