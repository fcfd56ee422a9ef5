"""A room's presence is a snapshot and then changes, with no gap and no duplicate between them."""

from __future__ import annotations

import pytest

from server.room import Room
from tests.server.presence import Clock, Viewer


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still until it is advanced."""
    return Clock()


@pytest.fixture
def room(clock: Clock) -> Room:
    """A room with a grace time of 5 s and announcements every 0.1 s."""
    return Room("lobby", schedule=clock.schedule)


def test_newcomer_gets_a_snapshot_with_itself(room: Room) -> None:
    """The first message in a room says who is there, at once."""
    ana = Viewer("ana")
    room.add(ana)
    assert ana.heard == [{"type": "presence", "room": "lobby", "count": 1, "users": ["ana"]}]


def test_a_new_user_is_announced_once(room: Room, clock: Clock) -> None:
    """Those who were there get the change; the newcomer, whose snapshot has it, gets nothing more."""
    ana, ben = Viewer("ana"), Viewer("ben")
    room.add(ana)
    clock.advance(1)
    room.add(ben)
    clock.advance(1)
    assert ana.heard[1:] == [{"type": "presence", "room": "lobby", "count": 2, "joined": ["ben"]}]
    assert len(ben.heard) == 1


def test_second_tab_is_not_announced(room: Room, clock: Clock) -> None:
    """A user with two connections joins once, and has left only when both are gone."""
    ana, ben, ben_too = Viewer("ana"), Viewer("ben"), Viewer("ben")
    for viewer in (ana, ben, ben_too):
        room.add(viewer)
    room.remove(ben)
    clock.advance(60)
    assert [message.get("left") for message in ana.heard] == [None, None]
    room.remove(ben_too)
    clock.advance(60)
    assert ana.heard[-1]["left"] == ["ben"]


def test_reload_in_time_causes_neither_left_nor_joined(room: Room, clock: Clock) -> None:
    """A page that is back within the grace time was never away."""
    ana, ben = Viewer("ana"), Viewer("ben")
    room.add(ana)
    room.add(ben)
    clock.advance(1)
    heard = len(ana.heard)
    room.remove(ben)
    clock.advance(4.9)
    room.add(Viewer("ben"))
    clock.advance(60)
    assert len(ana.heard) == heard


def test_reload_too_late_causes_both(room: Room, clock: Clock) -> None:
    """After the grace time the user has left, and coming back is a new joining."""
    ana, ben = Viewer("ana"), Viewer("ben")
    room.add(ana)
    room.add(ben)
    clock.advance(1)
    room.remove(ben)
    clock.advance(5.2)
    room.add(Viewer("ben"))
    clock.advance(1)
    assert [(message.get("joined"), message.get("left")) for message in ana.heard[-2:]] == [
        (None, ["ben"]),
        (["ben"], None),
    ]


def test_leaving_on_purpose_has_no_grace_time(room: Room, clock: Clock) -> None:
    """A user who leaves is gone at the next announcement."""
    ana, ben = Viewer("ana"), Viewer("ben")
    room.add(ana)
    room.add(ben)
    clock.advance(1)
    room.remove(ben, at_once=True)
    clock.advance(0.2)
    assert ana.heard[-1]["left"] == ["ben"]


def test_changes_of_one_interval_are_announced_together(room: Room, clock: Clock) -> None:
    """A hundred joinings at once are one message for those who were there."""
    ana = Viewer("ana")
    room.add(ana)
    clock.advance(1)
    for number in range(100):
        room.add(Viewer(f"user{number}"))
    clock.advance(1)
    assert len(ana.heard) == 2
    assert len(ana.heard[1]["joined"]) == 100


def test_joining_and_leaving_within_an_interval_is_not_announced(room: Room, clock: Clock) -> None:
    """What cancels out is no news."""
    ana, ben = Viewer("ana"), Viewer("ben")
    room.add(ana)
    clock.advance(1)
    room.add(ben)
    room.remove(ben, at_once=True)
    clock.advance(1)
    assert len(ana.heard) == 1


def test_leaving_and_joining_within_an_interval_is_not_announced(room: Room, clock: Clock) -> None:
    """A user who left and is back before the announcement has not changed for those who were there."""
    ana, ben = Viewer("ana"), Viewer("ben")
    room.add(ana)
    room.add(ben)
    clock.advance(1)
    heard = len(ana.heard)
    room.remove(ben, at_once=True)
    room.add(ben)
    clock.advance(1)
    assert len(ana.heard) == heard


def test_newcomer_between_two_changes_gets_only_the_second(room: Room, clock: Clock) -> None:
    """A snapshot taken within an interval is followed by what happened after it, and by nothing before it."""
    ana, ben, cyd, dan = (Viewer(name) for name in ("ana", "ben", "cyd", "dan"))
    room.add(ana)
    clock.advance(1)
    for viewer in (ben, cyd, dan):
        room.add(viewer)
    clock.advance(1)
    assert ana.heard[-1]["joined"] == ["ben", "cyd", "dan"]
    assert cyd.heard[0]["users"] == ["ana", "ben", "cyd"]
    assert cyd.heard[1:] == [{"type": "presence", "room": "lobby", "count": 4, "joined": ["dan"]}]


def test_crowded_room_announces_numbers_and_names_again_when_it_empties(clock: Clock) -> None:
    """Above the limit members get the number; back below it they get a new snapshot."""
    room = Room("lobby", limit=2, schedule=clock.schedule)
    ana, ben, cyd = (Viewer(name) for name in ("ana", "ben", "cyd"))
    room.add(ana)
    room.add(ben)
    clock.advance(1)
    room.add(cyd)
    assert cyd.heard == [{"type": "presence", "room": "lobby", "count": 3}]
    clock.advance(1)
    assert ana.heard[-1] == {"type": "presence", "room": "lobby", "count": 3}
    room.remove(ben, at_once=True)
    clock.advance(1)
    assert ana.heard[-1] == cyd.heard[-1] == {"type": "presence", "room": "lobby", "count": 2, "users": ["ana", "cyd"]}


def test_crowd_that_passes_within_an_interval_leaves_nobody_with_a_number_only(clock: Clock) -> None:
    """A user who joined while it was crowded gets the names if it is no longer crowded at the announcement."""
    room = Room("lobby", limit=2, schedule=clock.schedule)
    ana, ben, cyd = (Viewer(name) for name in ("ana", "ben", "cyd"))
    for viewer in (ana, ben, cyd):
        room.add(viewer)
    room.remove(ben, at_once=True)
    clock.advance(1)
    assert cyd.present == {"ana", "cyd"}


def test_joining_again_gives_a_new_snapshot_and_no_news(room: Room, clock: Clock) -> None:
    """A client that is unsure may join again; the others get nothing."""
    ana, ben = Viewer("ana"), Viewer("ben")
    room.add(ana)
    room.add(ben)
    clock.advance(1)
    heard = len(ana.heard)
    room.add(ben)
    clock.advance(1)
    assert ben.heard[-1]["users"] == ["ana", "ben"]
    assert len(ana.heard) == heard
    assert len(room.members) == 2


def test_removing_a_stranger_is_harmless(room: Room) -> None:
    """A connection that is not in the room can be taken out."""
    room.remove(Viewer("ana"))
    assert room.users == ()


def test_empty_room_says_so_and_keeps_no_timer(clock: Clock) -> None:
    """When the last user is gone, `on_empty` is called once, and nothing is scheduled any more."""
    empty: list[str] = []
    room = Room("lobby", schedule=clock.schedule, on_empty=lambda: empty.append("lobby"))
    ana = Viewer("ana")
    room.add(ana)
    room.remove(ana)
    assert empty == []
    clock.advance(60)
    assert empty == ["lobby"]
    assert clock.pending == 0


def test_close_cancels_every_timer(room: Room, clock: Clock) -> None:
    """A server that stops leaves nothing scheduled."""
    ana = Viewer("ana")
    room.add(ana)
    room.remove(ana)
    assert clock.pending == 2
    room.close()
    assert clock.pending == 0
