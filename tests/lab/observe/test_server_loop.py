"""A coroutine on the server's loop: its result, its deadline, and what it cost."""

from __future__ import annotations

import asyncio
import threading
import zlib

import pytest
from fastapi import FastAPI
from lab.observe.server_loop import cpu_seconds, measure_call, run_on_server
from websockets.frames import Frame, Opcode

from server import serve


async def _thread() -> str:
    return threading.current_thread().name


def test_coroutine_runs_on_the_servers_loop() -> None:
    """It runs in the server's thread, and the result comes back."""
    with serve(FastAPI()) as server:
        assert run_on_server(server, _thread()) == f"server-{server.port}"


def test_error_of_the_coroutine_is_raised_here() -> None:
    """What it raises is not lost in the other thread."""

    async def fail() -> None:
        raise KeyError("who")

    with serve(FastAPI()) as server, pytest.raises(KeyError, match="who"):
        run_on_server(server, fail())


def test_coroutine_that_takes_too_long_is_cancelled() -> None:
    """The error names it, and nothing of it goes on."""
    ended = []

    async def stuck() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    with serve(FastAPI()) as server:
        with pytest.raises(TimeoutError, match=r"stuck was not done within 0\.05 s"):
            run_on_server(server, stuck(), timeout=0.05)
        run_on_server(server, asyncio.sleep(0))
        assert ended == [True]


def test_stopped_server_is_told() -> None:
    """A coroutine for a server that is gone is closed, not forgotten."""
    server = serve(FastAPI())
    server.stop()
    with pytest.raises(RuntimeError, match="the server has stopped"):
        run_on_server(server, _thread())


def test_frames_and_turns_are_counted() -> None:
    """A call that never waits leaves no turn to others; one that waits leaves a turn in each run."""

    async def never_waits(frames: int) -> None:
        compressor = zlib.compressobj()
        for _ in range(frames):
            Frame(Opcode.TEXT, compressor.compress(b"hi")).serialize(mask=False)

    async def waits() -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    with serve(FastAPI()) as server:
        busy, patient = measure_call(server, never_waits, 7), measure_call(server, waits)
    assert (busy.frames, busy.compressed, busy.turns) == (7, 7, 0)
    assert (patient.frames, patient.compressed, patient.turns) == (0, 0, 9)
    assert busy.seconds > 0


def test_time_of_the_servers_thread_is_counted() -> None:
    """Work on its loop takes some of it."""

    async def work() -> None:
        sum(range(300_000))

    with serve(FastAPI()) as server:
        start = cpu_seconds(server)
        run_on_server(server, work())
        assert cpu_seconds(server) > start
