"""Nothing that was accepted is lost, proved by counting on real processes; ``make soak`` does it for longer."""

from __future__ import annotations

import pytest
from lab.servers.valkey import Engine

from server.broker import Position
from server.messages import Notification
from tests.server.counting import DeliveryError, Device, check_deliveries
from tests.soak.deliveries import cut, engine, kill, restart

DEVICES = 3  # of each user

needs_engine = pytest.mark.skipif(Engine.missing() is not None, reason=str(Engine.missing()))


def test_a_server_that_is_killed_loses_nothing_that_it_has_accepted() -> None:
    """Every device gets every notification whose 202 has arrived, in order, once; the slow one as well."""
    tally = kill(seed=1)
    assert tally.received == DEVICES * tally.accepted > 0
    assert tally.connections > 2 * DEVICES
    assert tally.codes == {1006}


def test_a_cable_that_is_cut_in_mid_stream_loses_nothing() -> None:
    """Whether the end is noticed, or what was sent only waits."""
    tally = cut(seed=1)
    assert tally.received == DEVICES * tally.accepted > 0
    assert tally.connections > 2 * DEVICES


@needs_engine
def test_a_rolling_restart_under_load_loses_nothing() -> None:
    """Two servers over one engine, restarted one after the other while notifications are pushed to both."""
    tally = restart(seed=1)
    assert tally.received == DEVICES * tally.accepted > 0
    assert tally.connections >= 2 * 2 * DEVICES
    assert 1012 in tally.codes


@needs_engine
def test_an_engine_that_is_killed_loses_nothing_either() -> None:
    """The server keeps its devices, and fills the gap from the stream."""
    tally = engine(seed=1)
    assert tally.received == DEVICES * tally.accepted > 0
    assert tally.connections == 2 * DEVICES


@pytest.mark.parametrize(
    ("received", "lost", "doubled"),
    [((1, 3), 1, 0), ((1, 2, 2, 3), 0, 1), ((), 3, 0), ((1, 3, 2), 0, 0), ((1, 2, 3, 4), 0, 0)],
    ids=["lost", "twice", "nothing", "out of order", "one more"],
)
def test_whatever_does_not_arrive_once_and_in_order_is_counted(
    received: tuple[int, ...], lost: int, doubled: int
) -> None:
    """The count itself is proved: each kind of fault is one."""
    accepted = {"ana": {1: "one", 2: "two", 3: "three"}}
    device = Device("ana", "phone", "http://127.0.0.1:1/")
    names = accepted["ana"] | {4: "four"}
    device.heard += [
        Notification(position=Position("e", offset), time=1.0, kind="order", text=names[offset], id=str(offset))
        for offset in received
    ]
    with pytest.raises(DeliveryError, match="ana's phone") as told:
        check_deliveries([device], accepted)
    assert (told.value.lost, told.value.doubled) == (lost, doubled)
