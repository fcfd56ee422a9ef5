"""A cell that is run again replaces what its last run started: in a real kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from jupyter_client.manager import start_new_kernel

Run = Callable[..., str]

SERVE = "server = serve(app); started.append(server)"


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Run code in a real kernel, optionally as the cell of this name; what it printed, or its error."""
    manager, client = start_new_kernel(kernel_name="python3")

    def execute(code: str, cell: str | None = None, *, history: bool = True) -> str:
        printed: list[str] = []
        message = client.session.msg("execute_request", {"code": code, "silent": False, "store_history": history})
        message["metadata"] = {"cellId": cell} if cell else {}
        client.shell_channel.send(message)
        while True:
            reply = client.get_iopub_msg(timeout=20)
            if reply["parent_header"].get("msg_id") != message["header"]["msg_id"]:
                continue
            content = reply["content"]
            if reply["msg_type"] == "stream":
                printed.append(content["text"])
            if reply["msg_type"] == "error":
                printed.append(f"{content['ename']}: {content['evalue']}")
            if reply["msg_type"] == "status" and content["execution_state"] == "idle":
                return "".join(printed).strip()

    assert execute("from fastapi import FastAPI; from server import *; app = FastAPI(); started = []") == ""
    yield execute
    client.stop_channels()
    manager.shutdown_kernel()


def test_second_run_of_a_cell_stops_the_server_of_the_first(run: Run) -> None:
    """The same cell run twice leaves one server: the new one."""
    run("started.clear()")
    run(SERVE, "a")
    run(SERVE, "a")
    assert run("print([server.alive for server in started])") == "[False, True]"


def test_edited_cell_is_still_the_same_cell(run: Run) -> None:
    """JupyterLab names the cell, so a changed text does not leave the old server behind."""
    run("started.clear()")
    run(SERVE, "b")
    run("x = 1\n" + SERVE, "b")
    assert run("print([server.alive for server in started])") == "[False, True]"


def test_same_text_stands_for_the_cell_where_it_has_no_name(run: Run) -> None:
    """A front end that does not name its cells gets the same, by the cell's text."""
    run("started.clear()")
    run(SERVE)
    run(SERVE)
    assert run("print([server.alive for server in started])") == "[False, True]"


def test_different_cells_are_told_apart_without_a_history(run: Run) -> None:
    """A front end like nbval keeps no history and names no cell; still a cell stops only what it started itself."""
    run("started.clear()")
    run(SERVE, history=False)
    run("x = 1\n" + SERVE, history=False)
    assert run("print([server.alive for server in started])") == "[True, True]"
    run(SERVE, history=False)
    assert run("print([server.alive for server in started])") == "[False, True, True]"


def test_two_servers_of_one_run_live_side_by_side(run: Run) -> None:
    """A cell may start several servers; another cell's run does not touch them."""
    run("started.clear()")
    run(f"{SERVE}; {SERVE}", "c")
    run(SERVE, "d")
    assert run("print([server.alive for server in started])") == "[True, True, True]"
    run(f"{SERVE}; {SERVE}", "c")
    assert run("print([server.alive for server in started])") == "[False, False, True, True, True]"


def test_failing_server_ends_its_cell_with_one_sentence(run: Run) -> None:
    """The error of a cell is the cause and the remedy, and the next cell is clean."""
    assert run("serve(None)", "e") == "StartError: serve() needs an ASGI app such as FastAPI(), got None"
    assert run("print('next')", "f") == "next"


def test_stop_all_leaves_nothing(run: Run) -> None:
    """The last cell of a lesson stops every server that it had started."""
    run(SERVE, "g")
    run("stop_all()")
    assert run("print([server.alive for server in started if server.alive])") == "[]"
    assert (
        run("import threading; print([t.name for t in threading.enumerate() if t.name.startswith('server-')])") == "[]"
    )
