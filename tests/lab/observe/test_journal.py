"""Rows recorded in any thread are shown by the cell that waits for them."""

from __future__ import annotations

import threading

import nbformat
import pytest
from fastapi import FastAPI, WebSocket
from lab.observe.journal import Journal
from websockets.sync.client import connect

from server import serve
from tests.notebooks.execute import client_for


def test_journal_waits_for_rows_of_a_server_thread() -> None:
    """What a handler records is there when the wait returns, one row per line."""
    journal = Journal()
    app = FastAPI()

    @app.websocket("/ws")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        async for message in websocket.iter_text():
            journal.record("got", repr(message))
        journal.record("left")

    with serve(app) as server:
        with connect(server.url("/ws")) as client:
            client.send("hi")
        rows = journal.wait(rows=2)
    assert rows == ("got 'hi'", "left")
    assert str(rows) == repr(rows) == repr(journal) == "got 'hi'\nleft"


def test_journal_returns_exactly_the_rows_asked_for() -> None:
    """A row that comes too soon does not change the output of an earlier wait."""
    journal = Journal()
    for n in range(3):
        journal.record(n)
    assert journal.wait(rows=2) == ("0", "1")
    assert journal.rows == ("0", "1", "2")


def test_journal_says_which_rows_arrived_when_some_are_missing() -> None:
    """A wait that ends without its rows names how many arrived, and which."""
    journal = Journal()
    with pytest.raises(TimeoutError, match=r"0 of 1 rows arrived within 0\.01 s: none at all"):
        journal.wait(rows=1, timeout=0.01)
    journal.record("only this")
    with pytest.raises(TimeoutError, match=r"1 of 2 rows arrived within 0\.01 s: 'only this'"):
        journal.wait(rows=2, timeout=0.01)


def test_journal_takes_rows_from_many_threads() -> None:
    """No row is lost when many threads record at once."""
    journal = Journal()

    def record() -> None:
        for _ in range(200):
            journal.record("x")

    threads = [threading.Thread(target=record) for _ in range(10)]
    for thread in threads:
        thread.start()
    assert len(journal.wait(rows=2000)) == 2000
    for thread in threads:
        thread.join()


def test_journal_is_empty_after_clear() -> None:
    """A cell that clears its journal can be run again."""
    journal = Journal()
    journal.record("old")
    journal.clear()
    assert journal.rows == ()


def test_a_cell_that_is_run_again_sees_what_it_saw_at_first() -> None:
    """In a real kernel: alone, together with the next cell, and after the cell that makes the journal."""
    cells = [
        "from lab.observe.journal import Journal; journal = Journal()",
        "journal.record('hello'); journal.wait(rows=1)",
        "journal.record('left'); journal.wait(rows=2)",
        "journal.record('late'); journal.rows",
    ]
    order = [0, 1, 1, 1, 2, 2, 3, 1, 2, 3, 3, 0, 1]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    shown = []
    with client_for(notebook, timeout=20) as client, client.setup_kernel():
        for number in order:
            cell = client.execute_cell(notebook.cells[number], number)
            shown += [output.data["text/plain"] for output in cell.outputs]
    first = {1: "hello", 2: "hello\nleft", 3: "hello\nleft\nlate"}
    assert shown == [first[number] for number in order if number]
