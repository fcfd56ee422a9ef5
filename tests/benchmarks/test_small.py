"""Each benchmark, run small: every row gives a figure, and nothing is refused."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import (
    attack,
    client,
    fanout,
    inbox_sizes,
    inboxes,
    load,
    manager,
    notifications,
    processes,
    soak,
    start,
)
from benchmarks.client import LostError
from benchmarks.contestant import Contestant
from benchmarks.inbox_filling import PAYLOAD, fill, topic_of
from benchmarks.load import Load
from benchmarks.rows import ROWS, Row
from server import serve_process
from server.broker import open_broker
from tests.attack.target import Target

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks need Linux")

NUMBER = re.compile(r"[\d,]+(\.\d+)?")


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every server time: this machine runs other tests meanwhile."""
    monkeypatch.setattr(client, "PATIENCE", 30.0)
    monkeypatch.setattr(load, "STALLED", 30.0)


def figures(rows: Sequence[Sequence[str]]) -> list[float]:
    """Every cell but the first of each row, as a number; "a / b" are two, and a dash is left out."""
    cells = [part for row in rows for cell in row[1:] for part in cell.split(" / ") if part != "-"]
    assert cells
    assert all(NUMBER.fullmatch(cell) for cell in cells), cells
    return [float(cell.replace(",", "")) for cell in cells]


def test_start() -> None:
    """Each of the three ways starts, echoes and stops."""
    table = start.measure(1)
    assert len(table.rows) == 3
    assert len(figures(table.rows)) == 3 * 4 - 1  # `uvicorn` as a process does not return
    assert all(float(row[2]) > 0 for row in table.rows)


def test_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four servers take connections, and three ways of membership are timed."""
    monkeypatch.setattr(manager, "ROUNDS", 20)
    connections = asyncio.run(manager.connection_costs([10]))
    assert len(connections.rows) == 4
    assert min(figures(connections.rows)[::2]) > 0  # rates; a page of memory may be none for ten connections
    membership = asyncio.run(manager.membership_costs([10]))
    assert len(membership.rows) == 3
    assert min(figures(membership.rows)) > 0


def test_the_whole_route_takes_as_many_as_are_measured(tmp_path: Path) -> None:
    """A thousand come from one address within seconds, and no limit refuses one of them."""
    [row] = (row for row in ROWS if row.key == "whole")
    with (
        Contestant(row.command(str(tmp_path)), core=None) as server,
        Load(server.port, smallest=row.smallest) as clients,
    ):
        clients.open(row.greetings(server.port, 0, 1_000))
        clients.settle(row.settling(1_000))
        clients.say(row.frames()[:3], in_flight=3)
        assert clients.counts == [3] * 1_000


def test_fan_out_notes_what_fails(tmp_path: Path) -> None:
    """A run over one row has every figure, and no problem is noted beside them."""
    [row] = (row for row in ROWS if row.key == "fast")
    plan = fanout.Plan(rows=(row,), sizes=(3,), repetitions=1, seconds=0.05, muted=3)
    results = fanout.run(plan, str(tmp_path), lambda line: None)
    assert results.rows["fast"].problems == {}
    assert results.rows["fast"].median(3, "rate")
    assert len(results.capacities) == 2


def test_notifications(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rates and delays of two devices each of three users, over the log in memory."""
    for name, value in {**notifications.ENVIRONMENT, "CHAT_BROKER": "memory:"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(notifications, "LONE", 5)
    with serve_process("benchmarks.inbox_app:app") as server:
        row = asyncio.run(notifications.traffic(server.port, users=3, devices=2, pushes=30, programs=2))
    assert len(row) == 6
    assert min(figures([["", *row]])) >= 0


def test_inbox_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four costs for each size that was filled."""
    monkeypatch.setattr(inbox_sizes, "ROUNDS", 5)
    rows = asyncio.run(inbox_sizes.cost_by_size("memory:", [10, 100], 30))
    assert [row[0] for row in rows] == ["10", "100"]
    assert len(figures(rows)) == 8


def test_inboxes() -> None:
    """Three costs in each of three stores in files, and in three engines, each of which has what it was filled with."""
    rows = inboxes.table(["file", "valkey"], 100, 2, 5).rows
    assert [row[0] for row in rows] == [
        f"{store}, {each}" for store in ("file", "valkey") for each in inboxes.OPERATIONS
    ]
    assert len(figures(rows)) == 6 * 4


@pytest.mark.parametrize("name", ["file", "valkey"])
def test_a_store_is_filled(name: str) -> None:
    """Every inbox has every notification, in a log that the broker can read and go on with."""

    async def stored(url: str) -> list[int]:
        async with open_broker(url, limits=inboxes.limits()) as broker:
            await broker.publish(topic_of(0), PAYLOAD)
            return [len((await broker.history(topic_of(number))).records) for number in range(3)]

    with notifications.store(name) as url:
        fill(url, inboxes.limits(), inboxes=3, each=2)
        assert asyncio.run(stored(url)) == [3, 2, 2]


@pytest.mark.parametrize("key", processes.SERVERS)
def test_processes(key: str, tmp_path: Path) -> None:
    """A room over two processes: what is said in one comes to the members in both, and every figure is one."""
    [row] = (row for row in ROWS if row.key == key)
    spread = processes.measure(row, 2, 4, 0.05, str(tmp_path))
    assert min(spread.rate, spread.efficiency, spread.p99) > 0
    assert spread.engine >= 0  # a few messages may take less than the clock shows


def test_a_server_that_fails_costs_its_own_row_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The row has dashes, and the reason stands below the table."""
    spread = processes.Spread(rate=2_000, efficiency=1_000, p99=0.01, engine=0.1)

    def measure(row: Row, *_: object) -> processes.Spread:
        if row.key == "socketio":
            raise LostError("the server has dropped a connection")
        return spread

    monkeypatch.setattr(processes, "measure", measure)
    table = processes.table([2], 4, 0.05)
    assert [row[1:] for row in table.rows] == [["-"] * 4, ["2,000", "1,000", "10.0", "10.0"]]
    assert "2 processes: the server has dropped a connection" in table.note


def test_attack() -> None:
    """One attack runs against a server of its own, and its honest pair loses nothing."""
    [one] = (each for each in attack.ATTACKS if each.name == "forged tokens")
    cost, tally, seconds, broken = attack.attack(one, 10)
    assert broken == ""
    assert sum(tally.values()) == 10
    assert seconds > 0
    assert len(cost.heard) == cost.sent > 0


def test_soak(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten who listen and ten who talk for a second: every bound is judged, and holds."""
    monkeypatch.setattr(soak, "EACH", 0.5)
    with Target(connections=100, history_messages=100) as target:
        rows = asyncio.run(soak.soak(target, idle=10, active=10, seconds=1))
    judged = {what: is_good for what, _, is_good in rows}
    # a server that has just started still grows; what the memory does is for the ten minutes of the real run
    judged.pop("memory, second third and last")
    assert len(judged) == 10
    assert all(judged.values()), rows
