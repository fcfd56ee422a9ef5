"""Notifications on the wire: pushed by a program or a job, heard by every device of one user, read once for all."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi import BackgroundTasks, FastAPI, Request
from pydantic import SecretStr

from server import serve
from server.app import create_app
from server.settings import Settings
from tests.server.people import KEY, Person, chat
from tests.server.recipients import Device, push, pusher


def test_a_push_reaches_every_device(log_url: str) -> None:
    """Of this user and nobody else, with its kind, text, data and id."""
    with (
        chat(broker=log_url) as room,
        pusher(room.server) as shop,
        Device(room.server, "ana", device="phone") as phone,
        Device(room.server, "ana", device="laptop") as laptop,
        Device(room.server, "ben") as ben,
    ):
        for device in (phone, laptop, ben):
            assert device.watch()["unread"] == 0
        content = {"kind": "order", "text": "shipped", "data": {"order": 7, "note": None}}
        position = push(shop, "ana", **content, key="order-7")
        for device in (phone, laptop):
            news = device.next()
            assert news.pop("time") > 0
            assert news == {"type": "notification", "position": position, "id": "order-7"} | content
        push(shop, "ben", text="for ben")
        assert ben.texts(1) == ["for ben"]


def test_a_notification_for_nobody_online_is_kept(log_url: str) -> None:
    """A device that connects gets the number of unread notifications, those it asked for, and then the new ones."""
    with chat(broker=log_url) as room, pusher(room.server) as shop:
        positions = [push(shop, "ana", text=str(number)) for number in range(5)]
        with Device(room.server, "ana") as ana:
            inbox = ana.watch(last=2)
            assert (inbox["position"], inbox["newest"], inbox["unread"]) == (positions[2], positions[4], 5)
            assert "read" not in inbox
            assert ana.texts(2) == ["3", "4"]
            push(shop, "ana", text="5")
            assert ana.texts(1) == ["5"]


def test_a_device_that_comes_back_gets_what_it_missed(log_url: str) -> None:
    """From right after its position, in order, each once; also after the whole server has gone and come."""
    with chat(broker=log_url) as room, pusher(room.server) as shop:
        with Device(room.server, "ana") as ana:
            seen = ana.watch()["position"]
            seen = [push(shop, "ana", text=text) for text in ("seen", "seen too")][-1]
            assert ana.texts(2) == ["seen", "seen too"]
        for number in range(3):
            push(shop, "ana", text=f"missed {number}")
        with Device(room.server, "ana") as ana:
            inbox = ana.watch(after=seen)
            assert (inbox["position"], inbox["complete"], inbox["unread"]) == (seen, True, 5)
            assert ana.texts(3) == ["missed 0", "missed 1", "missed 2"]
    if log_url != "memory:":
        with chat(broker=log_url) as room, Device(room.server, "ana") as ana:
            assert ana.watch(after=seen)["complete"]
            assert ana.texts(3) == ["missed 0", "missed 1", "missed 2"]


def test_read_on_one_device_is_read_on_all(log_url: str) -> None:
    """Each device gets it once, and one that connects later finds it read."""
    with (
        chat(broker=log_url) as room,
        pusher(room.server) as shop,
        Device(room.server, "ana", device="phone") as phone,
        Device(room.server, "ana", device="laptop") as laptop,
    ):
        phone.watch()
        laptop.watch()
        first, second, third = [push(shop, "ana", text=text) for text in ("one", "two", "three")]
        for device in (phone, laptop):
            device.texts(3)
        phone.ack(second)
        for device in (phone, laptop):
            assert device.next() == {"type": "read", "position": second, "unread": 1, "newest": third}
        with Device(room.server, "ana", device="watch") as watch:
            inbox = watch.watch()
            assert (inbox["read"], inbox["unread"]) == (second, 1)
        laptop.ack(third)
        for device in (phone, laptop):
            assert device.next() == {"type": "read", "position": third, "unread": 0, "newest": third}
        push(shop, "ana", text="four")
        assert phone.texts(1) == laptop.texts(1) == ["four"]
        assert first["offset"] + 2 == third["offset"]


def test_what_has_been_read_stays_read(log_url: str) -> None:
    """To acknowledge less, or again, changes nothing; only who asked is answered."""
    with (
        chat(broker=log_url) as room,
        pusher(room.server) as shop,
        Device(room.server, "ana", device="phone") as phone,
        Device(room.server, "ana", device="laptop") as laptop,
    ):
        first, second = [push(shop, "ana", text=text) for text in ("one", "two")]
        laptop.watch()
        phone.ack(second)  # it need not watch
        read = {"type": "read", "position": second, "unread": 0, "newest": second}
        assert phone.next() == laptop.next() == read
        for position in (first, second, first | {"offset": 0}):
            phone.ack(position)
            assert phone.next() == read
        push(shop, "ana", text="three")
        assert laptop.texts(1) == ["three"]


@pytest.mark.parametrize(
    "guess", [{"offset": 2}, {"offset": 1 << 52}, {"epoch": "made up", "offset": 1}, {"epoch": "e" * 64, "offset": 0}]
)
def test_a_position_that_was_guessed_reads_nothing(log_url: str, guess: dict[str, Any]) -> None:
    """Acknowledging a position that never existed gets an error."""
    with chat(broker=log_url) as room, pusher(room.server) as shop, Device(room.server, "ana") as ana:
        position = push(shop, "ana")
        ana.send(type="ack", position=position | guess, id=3)
        error = ana.next()
        assert (error["type"], error["field"], error["id"]) == ("error", "position", 3)
        assert ana.watch()["unread"] == 1


def test_a_push_with_a_known_key_is_stored_once(log_url: str) -> None:
    """It is answered with the position of the first time; without a key each push is one more."""
    with chat(broker=log_url) as room, pusher(room.server) as shop, Device(room.server, "ana") as ana:
        ana.watch()
        assert push(shop, "ana", text="once", key="k") == push(shop, "ana", text="again", key="k")
        push(shop, "ana", text="no key")
        push(shop, "ana", text="no key")
        assert push(shop, "ben", text="once", key="k")["offset"] == 1
        assert ana.texts(3) == ["once", "no key", "no key"]


def test_only_the_newest_are_kept(log_url: str) -> None:
    """Each inbox has its own limit, which is not that of the rooms; what is gone is not unread."""
    with (
        chat(broker=log_url, inbox_notifications=3, history_messages=10) as room,
        pusher(room.server) as shop,
        Device(room.server, "ana") as ana,
        Person(room.server, "ben") as ben,
    ):
        positions = [push(shop, "ana", text=str(number)) for number in range(5)]
        for number in range(5):
            ben.say(str(number))
        inbox = ana.watch(after=positions[0])
        assert (inbox["position"], inbox["complete"], inbox["unread"]) == (positions[1], False, 3)
        assert ana.texts(3) == ["2", "3", "4"]
        ana.ack(positions[0])  # so long ago that it says nothing of what is kept
        assert ana.next() == {"type": "read", "position": positions[1], "unread": 3, "newest": positions[4]}
        ben.answers()
        ana.send(type="join", room="lobby", last=10)
        assert [ana.receive("message")["text"] for _ in range(5)] == ["0", "1", "2", "3", "4"]


def test_watching_again_starts_anew(log_url: str) -> None:
    """Nothing is heard twice because of it."""
    with chat(broker=log_url) as room, pusher(room.server) as shop, Device(room.server, "ana") as ana:
        first = ana.watch()["position"]
        push(shop, "ana", text="one")
        assert ana.texts(1) == ["one"]
        assert ana.watch(after=first)["position"] == first
        assert ana.texts(1) == ["one"]
        position = push(shop, "ana", text="two")
        assert ana.texts(1) == ["two"]
        ana.ack(position)
        assert ana.next()["type"] == "read"
        push(shop, "ana", text="three")
        assert ana.texts(1) == ["three"]


def test_an_inbox_far_longer_than_an_outbox_is_sent_whole() -> None:
    """A device that was away for long is waited for, not thrown out for being slow."""
    with (
        chat(outbox_messages=32, push_burst=10_000) as room,
        pusher(room.server) as shop,
        Device(room.server, "ana") as ana,
    ):
        seen = ana.watch()["position"]
        for number in range(500):
            push(shop, "ana", text=f"{number} " + 1_000 * "x")
        with Device(room.server, "ana", device="other") as other:
            assert other.watch(after=seen)["complete"]
            assert [int(text.split()[0]) for text in other.texts(500)] == list(range(500))


def test_a_job_pushes_after_its_route_has_answered(log_url: str) -> None:
    """Any route and any job of the app can, with what the app holds; the user needs no route for it."""
    chat_app = create_app(Settings(key=SecretStr(KEY), broker=log_url, grace_seconds=0))
    app = FastAPI(lifespan=chat_app.router.lifespan_context)

    async def ship(order: int) -> None:
        await chat_app.state.notifications.push("ana", kind="order", text=f"{order} is on its way", data=[order])

    @app.post("/orders/{order}", status_code=202)
    async def take_order(order: int, jobs: BackgroundTasks, request: Request) -> str:
        jobs.add_task(ship, order)
        return "thank you"

    app.mount("/", chat_app)
    with serve(app) as server, Device(server, "ana") as ana:
        ana.watch()
        assert httpx.post(server.http("/orders/7"), trust_env=False).json() == "thank you"
        news = ana.next()
        assert (news["text"], news["data"]) == ("7 is on its way", [7])
