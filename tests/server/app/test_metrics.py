"""The numbers for Prometheus, read as Prometheus reads them."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.server.people import Chat, Person, chat


def numbers(room: Chat) -> dict[str, float]:
    """Every sample without a label, by name."""
    answer = httpx.get(room.server.http("/metrics"), trust_env=False)
    families = text_string_to_metric_families(answer.text)
    return {sample.name: sample.value for family in families for sample in family.samples if not sample.labels}


def test_metrics_count_what_happens() -> None:
    """People, rooms, what was delivered, and how long it took."""
    with chat() as room, Person(room.server, "ana") as ana, Person(room.server, "ben") as ben:
        before = numbers(room)
        for person in (ana, ben):
            person.say("hello")
            ana.receive("message")
            ben.receive("message")
        after = numbers(room)
        assert after["chat_connections"] == after["chat_users"] == 2
        assert after["chat_rooms"] == after["chat_broker_ready"] == 1
        assert after["chat_deliveries_total"] - before["chat_deliveries_total"] >= 4
        assert after["chat_publish_to_deliver_seconds_count"] == 2
        for name in ("chat_outbox_messages", "chat_blocked_connections"):
            assert after[name] == before[name]  # of the whole process, in which other tests have left theirs


def test_metrics_can_be_switched_off() -> None:
    """Where several processes share a port, none of them answers."""
    with chat(metrics=False) as room:
        assert httpx.get(room.server.http("/metrics"), trust_env=False).status_code == 404
