"""An app that is written here and served elsewhere: by two processes that share nothing, and are gone afterwards."""

from __future__ import annotations

import os
import threading

import httpx
import psutil
import pytest
from fastapi import FastAPI
from lab.servers.two_processes import serve_two_processes

from server import StartError
from server.run.registry import entered

GREETING = "hello"


def _app(name: str) -> FastAPI:
    app, calls = FastAPI(), list[int]()

    @app.get("/")
    def greet() -> str:
        calls.append(os.getpid())
        return f"{GREETING} {name} {len(calls)}"

    return app


def test_two_processes_share_nothing() -> None:
    """Each has its own copy of what the app has made, in a process of its own, and both end with the block."""
    before = dict(os.environ)
    with serve_two_processes(_app, "ana", log_config=None) as (left, right):
        assert httpx.get(left.http()).json() == "hello ana 1"
        assert httpx.get(left.http()).json() == "hello ana 2"
        assert httpx.get(right.http()).json() == "hello ana 1"
        pids = {*left.pids, *right.pids}
        assert len(pids - {os.getpid()}) == 2
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert not entered(object)  # type: ignore[type-var]
    assert dict(os.environ) == before


def test_failing_block_ends_both() -> None:
    """An error in the block is raised, and no process outlives it."""
    children = psutil.Process().children()
    with pytest.raises(KeyError), serve_two_processes(_app, "ana", log_config=None):
        raise KeyError
    assert psutil.Process().children() == children


def test_what_cannot_cross_is_named() -> None:
    """A lock belongs to its process."""
    with (
        pytest.raises(StartError, match=r"_app cannot cross processes: .*lock"),
        serve_two_processes(_app, threading.Lock()),
    ):
        pass


def test_app_that_fails_over_there_says_why() -> None:
    """The reason is the one of the other process, and nothing stays."""

    def broken() -> FastAPI:
        raise ValueError("no such room")

    with pytest.raises(StartError, match="no such room"), serve_two_processes(broken):
        pass
    assert not entered(object)  # type: ignore[type-var]
