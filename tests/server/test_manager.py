"""The manager: whatever comes and goes, it holds what a plain model says, and nothing is left behind."""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from server.broadcasting import Batch, Prepared
from server.manager import Connection, FullError, Manager, ManagerStatistics
from server.messages import ChatMessage, CloseCode
from tests.server.presence import Clock, Viewer

NOTHING = ManagerStatistics(connections=0, users=0, rooms=0)


class Box:
    """An outbox that keeps everything, and hands presence of each room to a checking client."""

    def __init__(self, user: str) -> None:
        self.texts: list[str] = []
        self.ended: tuple[CloseCode, str] | None = None
        self.viewers: dict[str, Viewer] = {}
        self._user = user

    async def drained(self) -> None:
        """Nothing ever waits."""

    def put(self, message: str | Prepared) -> None:
        """Keep a message."""
        text = message.text if isinstance(message, Prepared) else message
        self.texts.append(text)
        news = json.loads(text)
        if news["type"] == "presence":
            self.viewers.setdefault(news["room"], Viewer(self._user)).deliver(text)

    def deliver_all(self, batch: Batch) -> None:
        """Take messages."""
        for message in batch.messages:
            self.put(message)

    def end(self, code: CloseCode, reason: str) -> None:
        """Keep the first goodbye."""
        self.ended = self.ended or (code, reason)


def drive(coroutine: Any) -> Any:
    """Run a coroutine that never really waits to its end."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waited")


class Guest:
    """A connection that is opened and closed from the outside."""

    def __init__(self, manager: Manager, user: str, device: str = "phone") -> None:
        self.box = Box(user)
        self._block: AbstractAsyncContextManager[Connection] = manager.register(user, device, self.box)
        self.connection: Connection = drive(self._block.__aenter__())

    def close(self, error: BaseException | None = None) -> None:
        """Leave the block, by an exception if there is one."""
        try:
            drive(self._block.__aexit__(type(error) if error else None, error, None))
        except BaseException as raised:
            if raised is not error:
                raise


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still until it is advanced."""
    return Clock()


@pytest.fixture
def manager(clock: Clock) -> Manager:
    """A manager with small limits."""
    return Manager(
        connections=10, devices_per_user=2, connections_per_user=3, grace=5, interval=0.1, schedule=clock.schedule
    )


@pytest.mark.parametrize("error", [None, ValueError("mine"), asyncio.CancelledError(), KeyboardInterrupt()])
def test_nothing_is_left_whatever_way_leads_out(manager: Manager, clock: Clock, error: BaseException | None) -> None:
    """After a return, an error, a cancellation or an interrupt the connection is nowhere any more."""
    guest = Guest(manager, "ana")
    manager.join(guest.connection, "lobby")
    guest.close(error)
    clock.advance(60)
    assert manager.statistics() == NOTHING
    assert clock.pending == 0


def test_users_and_devices_are_counted_once(manager: Manager) -> None:
    """Two tabs on one device are one device of one user."""
    guests = [Guest(manager, *who) for who in [("ana", "phone"), ("ana", "phone"), ("ben", "laptop")]]
    assert len(guests) == 3
    assert manager.users == ("ana", "ben")
    assert manager.devices("ana") == ("phone",)
    assert manager.statistics() == ManagerStatistics(connections=3, users=2, rooms=0)


def test_one_device_too_many_replaces_the_oldest(manager: Manager) -> None:
    """The oldest device is closed with 4004, with all of its connections, and the others stay."""
    devices = ("phone", "phone", "laptop", "tablet")
    phone, phone_too, laptop, tablet = (Guest(manager, "ana", device) for device in devices)
    assert phone.box.ended == phone_too.box.ended == (CloseCode.REPLACED, "more than 2 devices")
    assert laptop.box.ended is tablet.box.ended is None
    assert manager.devices("ana") == ("laptop", "tablet")


def test_one_connection_too_many_replaces_the_oldest(manager: Manager) -> None:
    """The oldest connection of a user with too many tabs is closed with 4004."""
    guests = [Guest(manager, "ana") for _ in range(4)]
    assert [guest.box.ended is not None for guest in guests] == [True, False, False, False]
    assert guests[0].box.ended == (CloseCode.REPLACED, "more than 3 connections")


def test_replaced_connection_is_out_at_once(manager: Manager) -> None:
    """It gets nothing any more, cannot join, and its handler may end whenever it does."""
    old = Guest(manager, "ana", "a")
    manager.join(old.connection, "lobby")
    others = [Guest(manager, "ana", device) for device in "bc"]
    heard = len(old.box.texts)
    manager.join(old.connection, "other")
    assert manager.room("other") is None
    assert manager.to_user("ana", ChatMessage(room="lobby", user="x", text="y")) == len(others)
    assert len(old.box.texts) == heard
    old.close()
    assert manager.statistics().connections == 2


def test_full_server_refuses_and_keeps_nothing(manager: Manager) -> None:
    """The connection over the limit gets an error with the number, and the others stay."""
    guests = [Guest(manager, f"user{number}") for number in range(10)]
    with pytest.raises(FullError, match="10 connections are open, the most allowed"):
        assert Guest(manager, "late").connection.user == "late"
    assert manager.statistics().connections == 10
    guests[0].close()
    assert Guest(manager, "late").connection.user == "late"


def test_room_message_reaches_members_only(manager: Manager) -> None:
    """Who is not in the room gets nothing, and the number of receivers is told."""
    ana, ben, cyd = (Guest(manager, name) for name in ("ana", "ben", "cyd"))
    manager.join(ana.connection, "lobby")
    manager.join(ben.connection, "lobby")
    message = ChatMessage(room="lobby", user="ana", text="hello")
    assert manager.to_room("lobby", message) == 2
    assert manager.to_room("nowhere", message) == 0
    assert ana.box.texts[-1] == ben.box.texts[-1] == message.encode()
    assert cyd.box.texts == []


def test_leaving_a_room_ends_its_messages(manager: Manager) -> None:
    """After leave() the room's messages stop, and leaving twice is harmless."""
    ana = Guest(manager, "ana")
    manager.join(ana.connection, "lobby")
    manager.leave(ana.connection, "lobby")
    manager.leave(ana.connection, "lobby")
    assert manager.to_room("lobby", ChatMessage(room="lobby", user="x", text="y")) == 0
    assert ana.connection.rooms == {}


def test_to_all_reaches_every_connection(manager: Manager) -> None:
    """Every connection of every user gets it once."""
    guests = [Guest(manager, user) for user in ("ana", "ana", "ben")]
    assert manager.to_all(ChatMessage(room="lobby", user="x", text="y")) == 3
    assert [len(guest.box.texts) for guest in guests] == [1, 1, 1]


def test_close_calls_off_every_timer(manager: Manager, clock: Clock) -> None:
    """A server that stops leaves nothing scheduled."""
    guest = Guest(manager, "ana")
    manager.join(guest.connection, "lobby")
    guest.close()
    manager.close()
    assert clock.pending == 0


def test_a_server_that_starts_again_has_no_ghosts(manager: Manager) -> None:
    """Whoever was in the grace time when the server stopped is not present for ever afterwards."""
    ana = Guest(manager, "ana")
    manager.join(ana.connection, "lobby")
    ana.close()
    manager.close()
    ben = Guest(manager, "ben")
    manager.join(ben.connection, "lobby")
    assert json.loads(ben.box.texts[-1])["users"] == ["ben"]


def test_who_leaves_after_the_close_leaves_nothing_either(manager: Manager, clock: Clock) -> None:
    """A handler may end after the server's lifespan has; it takes no room of the next start with it."""
    ana = Guest(manager, "ana")
    manager.join(ana.connection, "lobby")
    manager.close()
    ben = Guest(manager, "ben")
    manager.join(ben.connection, "lobby")
    ana.close()
    clock.advance(60)
    assert manager.statistics() == ManagerStatistics(connections=1, users=1, rooms=1)
    ben.close()
    clock.advance(60)
    assert manager.statistics() == NOTHING
    assert clock.pending == 0


USERS = st.sampled_from(["ana", "ben", "cyd"])
DEVICES = st.sampled_from(["phone", "laptop", "tablet"])
ROOMS = st.sampled_from(["lobby", "kitchen"])
ENDINGS = st.sampled_from([None, ValueError("x"), asyncio.CancelledError()])


class ManagerMachine(RuleBasedStateMachine):
    """Random comings, goings and losses, beside a model that is nothing but lists."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.manager = Manager(
            connections=8,
            devices_per_user=2,
            connections_per_user=3,
            grace=5,
            interval=0.1,
            crowd=2,
            schedule=self.clock.schedule,
        )
        self.open: list[Guest] = []  # oldest first
        self.inside: set[tuple[Guest, str]] = set()
        self.lost: dict[tuple[str, str], float] = {}  # (user, room): when the grace time ends

    @rule(user=USERS, device=DEVICES)
    def connect(self, user: str, device: str) -> None:
        """Somebody connects; the model applies the limits in its own way."""
        if len(self.open) >= 8:
            with pytest.raises(FullError):
                Guest(self.manager, user, device)
            return
        guest = Guest(self.manager, user, device)
        self.open.append(guest)
        mine = [one for one in self.open if one.connection.user == user]
        devices = list(dict.fromkeys(one.connection.device for one in mine))
        dropped: list[Guest] = []
        if len(devices) > 2:
            victim = next(one for one in devices if one != device)
            dropped = [one for one in mine if one.connection.device == victim]
        elif len(mine) > 3:
            dropped = mine[:1]
        for one in dropped:
            assert one.box.ended is not None
            self._out(one)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), ending=ENDINGS)
    def disconnect(self, data: st.DataObject, ending: BaseException | None) -> None:
        """A handler ends, by whatever way."""
        guest = data.draw(st.sampled_from(self.open))
        guest.close(ending)
        self._out(guest)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), room=ROOMS)
    def join(self, data: st.DataObject, room: str) -> None:
        """A connection joins, perhaps again."""
        guest = data.draw(st.sampled_from(self.open))
        self.manager.join(guest.connection, room)
        self.inside.add((guest, room))
        self.lost.pop((guest.connection.user, room), None)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), room=ROOMS)
    def leave(self, data: st.DataObject, room: str) -> None:
        """A connection leaves, perhaps a room that it is not in."""
        guest = data.draw(st.sampled_from(self.open))
        self.manager.leave(guest.connection, room)
        self.inside.discard((guest, room))

    @rule(seconds=st.sampled_from([0.05, 1.0, 6.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.clock.advance(seconds)
        self.lost = {who: until for who, until in self.lost.items() if until > self.clock.now}

    def _out(self, guest: Guest) -> None:
        self.open.remove(guest)
        for room in [room for one, room in self.inside if one is guest]:
            self.inside.remove((guest, room))
            user = guest.connection.user
            if not any(one.connection.user == user and where == room for one, where in self.inside):
                self.lost[user, room] = self.clock.now + 5

    @invariant()
    def holds_what_the_model_says(self) -> None:
        """Users, devices, members and presence are those of the model."""
        assert set(self.manager.users) == {guest.connection.user for guest in self.open}
        for user in self.manager.users:
            mine = [guest.connection for guest in self.open if guest.connection.user == user]
            assert list(self.manager.connections(user)) == mine
        names = {room for _, room in self.inside} | {room for _, room in self.lost}
        for name in names:
            room = self.manager.room(name)
            assert room is not None
            assert set(room.members) == {guest.connection for guest, where in self.inside if where == name}
            present = {guest.connection.user for guest, where in self.inside if where == name}
            assert set(room.users) == present | {user for user, where in self.lost if where == name}
        statistics = self.manager.statistics()
        assert statistics == ManagerStatistics(
            connections=len(self.open), users=len(self.manager.users), rooms=len(names)
        )

    @rule()
    def everybody_knows_who_is_there(self) -> None:
        """After an announcement each member's own picture, put together from its messages, is the truth."""
        self.wait(0.1)
        for guest, name in self.inside:
            room = self.manager.room(name)
            assert room is not None
            viewer = guest.box.viewers[name]
            assert viewer.count == len(room.users)
            assert viewer.present == (set(room.users) if len(room.users) <= 2 else None)

    def teardown(self) -> None:
        """When everybody has gone, nothing is left and nothing is scheduled."""
        for guest in list(self.open):
            guest.close()
        self.clock.advance(60)
        assert self.manager.statistics() == NOTHING
        assert self.clock.pending == 0


TestManagerMachine = ManagerMachine.TestCase
TestManagerMachine.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
