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
        self.ended: tuple[int, str] | None = None
        self.viewers: dict[str, Viewer] = {}
        self._user = user

    async def drained(self) -> None:
        """Nothing ever waits."""

    def send_nowait(self, message: Prepared) -> None:
        """Keep a message."""
        text = message.text
        self.texts.append(text)
        news = json.loads(text)
        if news["type"] == "presence":
            self.viewers.setdefault(news["room"], Viewer(self._user)).send_nowait(message)

    def send_many_nowait(self, batch: Batch) -> None:
        """Take messages."""
        for message in batch.messages:
            self.send_nowait(message)

    def end(self, code: int, reason: str) -> None:
        """Keep the first code and reason."""
        self.ended = self.ended or (code, reason)


def drive(coroutine: Any) -> Any:
    """Run a coroutine that never really waits to its end."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waited")


class Registered:
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
def test_nothing_is_left_however_the_block_ends(manager: Manager, clock: Clock, error: BaseException | None) -> None:
    """After a return, an error, a cancellation or an interrupt the connection is nowhere any more."""
    registered = Registered(manager, "ana")
    manager.join(registered.connection, "lobby")
    registered.close(error)
    clock.advance(60)
    assert manager.statistics() == NOTHING
    assert clock.pending == 0


def test_users_and_devices_are_counted_once(manager: Manager) -> None:
    """Two tabs on one device are one device of one user."""
    connections = [Registered(manager, *who) for who in [("ana", "phone"), ("ana", "phone"), ("ben", "laptop")]]
    assert len(connections) == 3
    assert manager.users == ("ana", "ben")
    assert manager.devices("ana") == ("phone",)
    assert manager.statistics() == ManagerStatistics(connections=3, users=2, rooms=0)


def test_one_device_too_many_replaces_the_oldest(manager: Manager) -> None:
    """The oldest device is closed with 4004, with all of its connections, and the others stay."""
    devices = ("phone", "phone", "laptop", "tablet")
    phone, phone_too, laptop, tablet = (Registered(manager, "ana", device) for device in devices)
    assert phone.box.ended == phone_too.box.ended == (CloseCode.REPLACED, "more than 2 devices")
    assert laptop.box.ended is tablet.box.ended is None
    assert manager.devices("ana") == ("laptop", "tablet")


def test_one_connection_too_many_replaces_the_oldest(manager: Manager) -> None:
    """The oldest connection of a user with too many tabs is closed with 4004."""
    connections = [Registered(manager, "ana") for _ in range(4)]
    assert [registered.box.ended is not None for registered in connections] == [True, False, False, False]
    assert connections[0].box.ended == (CloseCode.REPLACED, "more than 3 connections")


def test_replaced_connection_is_out_at_once(manager: Manager) -> None:
    """It gets nothing any more, cannot join, and its handler may end whenever it does."""
    old = Registered(manager, "ana", "a")
    manager.join(old.connection, "lobby")
    others = [Registered(manager, "ana", device) for device in "bc"]
    heard = len(old.box.texts)
    manager.join(old.connection, "other")
    assert manager.room("other") is None
    assert manager.to_user("ana", ChatMessage(room="lobby", user="x", text="y")) == len(others)
    assert len(old.box.texts) == heard
    old.close()
    assert manager.statistics().connections == 2


def test_full_server_refuses_and_keeps_nothing(manager: Manager) -> None:
    """The connection over the limit gets an error with the number, and the others stay."""
    connections = [Registered(manager, f"user{number}") for number in range(10)]
    with pytest.raises(FullError, match="10 connections are open, the most allowed"):
        assert Registered(manager, "late").connection.user == "late"
    assert manager.statistics().connections == 10
    connections[0].close()
    assert Registered(manager, "late").connection.user == "late"


def test_room_message_reaches_members_only(manager: Manager) -> None:
    """A connection that is not in the room gets nothing, and the number of receivers is returned."""
    ana, ben, cyd = (Registered(manager, name) for name in ("ana", "ben", "cyd"))
    manager.join(ana.connection, "lobby")
    manager.join(ben.connection, "lobby")
    message = ChatMessage(room="lobby", user="ana", text="hello")
    assert manager.to_room("lobby", message) == 2
    assert manager.to_room("nowhere", message) == 0
    assert ana.box.texts[-1] == ben.box.texts[-1] == message.encode()
    assert cyd.box.texts == []


def test_leaving_a_room_ends_its_messages(manager: Manager) -> None:
    """After leave() the room's messages stop, and leaving twice is harmless."""
    ana = Registered(manager, "ana")
    manager.join(ana.connection, "lobby")
    manager.leave(ana.connection, "lobby")
    manager.leave(ana.connection, "lobby")
    assert manager.to_room("lobby", ChatMessage(room="lobby", user="x", text="y")) == 0
    assert ana.connection.rooms == {}


def test_to_all_reaches_every_connection(manager: Manager) -> None:
    """Every connection of every user gets it once."""
    connections = [Registered(manager, user) for user in ("ana", "ana", "ben")]
    assert manager.to_all(ChatMessage(room="lobby", user="x", text="y")) == 3
    assert [len(registered.box.texts) for registered in connections] == [1, 1, 1]


def test_close_cancels_every_timer(manager: Manager, clock: Clock) -> None:
    """A server that stops leaves nothing scheduled."""
    registered = Registered(manager, "ana")
    manager.join(registered.connection, "lobby")
    registered.close()
    manager.close()
    assert clock.pending == 0


def test_a_server_that_starts_again_has_no_ghosts(manager: Manager) -> None:
    """A user who was in the grace time when the server stopped is not present forever afterwards."""
    ana = Registered(manager, "ana")
    manager.join(ana.connection, "lobby")
    ana.close()
    manager.close()
    ben = Registered(manager, "ben")
    manager.join(ben.connection, "lobby")
    assert json.loads(ben.box.texts[-1])["users"] == ["ben"]


def test_leaving_after_close_leaves_nothing(manager: Manager, clock: Clock) -> None:
    """A handler may end after the server's lifespan has; it takes no room of the next start with it."""
    ana = Registered(manager, "ana")
    manager.join(ana.connection, "lobby")
    manager.close()
    ben = Registered(manager, "ben")
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
        self.open: list[Registered] = []  # oldest first
        self.inside: set[tuple[Registered, str]] = set()
        self.lost: dict[tuple[str, str], float] = {}  # (user, room): when the grace time ends

    @rule(user=USERS, device=DEVICES)
    def connect(self, user: str, device: str) -> None:
        """Somebody connects; the model applies the limits in its own way."""
        if len(self.open) >= 8:
            with pytest.raises(FullError):
                Registered(self.manager, user, device)
            return
        registered = Registered(self.manager, user, device)
        self.open.append(registered)
        mine = [one for one in self.open if one.connection.user == user]
        devices = list(dict.fromkeys(one.connection.device for one in mine))
        dropped: list[Registered] = []
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
        registered = data.draw(st.sampled_from(self.open))
        registered.close(ending)
        self._out(registered)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), room=ROOMS)
    def join(self, data: st.DataObject, room: str) -> None:
        """A connection joins, perhaps again."""
        registered = data.draw(st.sampled_from(self.open))
        self.manager.join(registered.connection, room)
        self.inside.add((registered, room))
        self.lost.pop((registered.connection.user, room), None)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), room=ROOMS)
    def leave(self, data: st.DataObject, room: str) -> None:
        """A connection leaves, perhaps a room that it is not in."""
        registered = data.draw(st.sampled_from(self.open))
        self.manager.leave(registered.connection, room)
        self.inside.discard((registered, room))

    @rule(seconds=st.sampled_from([0.05, 1.0, 6.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.clock.advance(seconds)
        self.lost = {who: until for who, until in self.lost.items() if until > self.clock.now}

    def _out(self, registered: Registered) -> None:
        self.open.remove(registered)
        for room in [room for one, room in self.inside if one is registered]:
            self.inside.remove((registered, room))
            user = registered.connection.user
            if not any(one.connection.user == user and where == room for one, where in self.inside):
                self.lost[user, room] = self.clock.now + 5

    @invariant()
    def holds_what_the_model_says(self) -> None:
        """Users, devices, members and presence are those of the model."""
        assert set(self.manager.users) == {registered.connection.user for registered in self.open}
        for user in self.manager.users:
            mine = [registered.connection for registered in self.open if registered.connection.user == user]
            assert list(self.manager.connections(user)) == mine
        names = {room for _, room in self.inside} | {room for _, room in self.lost}
        for name in names:
            room = self.manager.room(name)
            assert room is not None
            assert set(room.members) == {registered.connection for registered, where in self.inside if where == name}
            present = {registered.connection.user for registered, where in self.inside if where == name}
            assert set(room.users) == present | {user for user, where in self.lost if where == name}
        statistics = self.manager.statistics()
        assert statistics == ManagerStatistics(
            connections=len(self.open), users=len(self.manager.users), rooms=len(names)
        )

    @rule()
    def everybody_knows_who_is_there(self) -> None:
        """After an announcement each member's own picture, put together from its messages, is the truth."""
        self.wait(0.1)
        for registered, name in self.inside:
            room = self.manager.room(name)
            assert room is not None
            viewer = registered.box.viewers[name]
            assert viewer.count == len(room.users)
            assert viewer.present == (set(room.users) if len(room.users) <= 2 else None)

    def teardown(self) -> None:
        """When everybody has gone, nothing is left and nothing is scheduled."""
        for registered in list(self.open):
            registered.close()
        self.clock.advance(60)
        assert self.manager.statistics() == NOTHING
        assert self.clock.pending == 0


TestManagerMachine = ManagerMachine.TestCase
TestManagerMachine.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
