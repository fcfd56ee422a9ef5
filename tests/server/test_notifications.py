"""Notifications on the wire: pushed over HTTP or by a job, heard by every device of one user, read once for all."""

from __future__ import annotations

from tests.server.people import chat
from tests.server.recipients import Device, pusher


def test_a_push_reaches_every_device() -> None:
    """Of this user and nobody else, in order, with its kind, text, data and id."""
    with (
        chat() as room,
        pusher(room.server) as shop,
        Device(room.server, "ana", device="phone") as phone,
        Device(room.server, "ana", device="laptop") as laptop,
        Device(room.server, "ben") as ben,
    ):
        for device in (phone, laptop, ben):
            assert device.watch()["unread"] == 0
        body = {"kind": "order", "text": "shipped", "data": {"order": 7, "note": None}, "key": "order-7"}
        answer = shop.post("/users/ana/notifications", json=body)
        assert answer.status_code == 202
        position = answer.json()["position"]
        for device in (phone, laptop):
            news = device.next()
            assert news.pop("time") > 0
            assert news == {
                "type": "notification",
                "position": position,
                "kind": "order",
                "text": "shipped",
                "data": {"order": 7, "note": None},
                "id": "order-7",
            }
        phone.ack(position)
        for device in (phone, laptop):
            assert device.next() == {"type": "read", "position": position, "unread": 0, "newest": position}
        assert ben.watch(last=9)["unread"] == 0
