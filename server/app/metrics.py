"""Metrics for Prometheus: ``/metrics``.

The manager, the outboxes and the brokers count; this module only reads their numbers when Prometheus asks. Each
process has its own numbers, so with several processes Prometheus must ask each one on a port of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sized

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ..broker import Broker
from ..manager import Manager
from ..wire.outboxes.statistics import statistics
from .answers.answers import Answers

__all__ = ["Metrics"]

# seconds; from a local log to an engine that was unavailable
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics(Collector):
    """The numbers of one app."""

    def __init__(self, manager: Manager, *brokers: Broker, waiting: Sized = (), answers: Answers | None = None) -> None:
        self._manager = manager
        self._brokers = brokers
        self._waiting = waiting
        self._answers = answers
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self.latency = Histogram(
            "chat_publish_to_deliver_seconds",
            "From the moment a message is stored, by the clock of the log, to its delivery to this process's members.",
            registry=self._registry,
            buckets=BUCKETS,
        )

    @property
    def routes(self) -> APIRouter:
        """``GET /metrics``."""
        router = APIRouter(tags=["operation"])

        @router.get("/metrics", summary="Numbers for Prometheus", response_class=Response)
        async def metrics() -> Response:
            return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)

        return router

    def collect(self) -> Iterator[Metric]:
        """Read every number."""
        held, out = self._manager.statistics(), statistics()
        yield GaugeMetricFamily("chat_connections", "Registered connections.", held.connections)
        yield GaugeMetricFamily("chat_users", "Users with a connection to this process.", held.users)
        yield GaugeMetricFamily("chat_rooms", "Rooms with a member in this process.", held.rooms)
        yield GaugeMetricFamily("chat_waiting_requests", "Long polls and event streams.", len(self._waiting))
        yield GaugeMetricFamily("chat_outbox_messages", "Messages waiting for slow peers.", out.messages)
        yield GaugeMetricFamily("chat_outbox_bytes", "Bytes waiting for slow peers.", out.size)
        yield GaugeMetricFamily("chat_blocked_connections", "Connections whose peer is not keeping up.", out.blocked)
        yield CounterMetricFamily("chat_deliveries", "Messages handed to the network.", out.sent)
        yield CounterMetricFamily("chat_drops", "Messages dropped before their peer got them.", out.dropped)
        yield CounterMetricFamily(
            "chat_slow_closes", "Connections closed with 4008 because the peer did not read.", out.slow
        )
        if self._answers is not None:
            yield from _of_answers(self._answers)
        ready = all(broker.health().ready for broker in self._brokers)
        yield GaugeMetricFamily("chat_broker_ready", "1 while the broker is available, 0 while it is not.", int(ready))


def _of_answers(answers: Answers) -> Iterator[Metric]:
    counted = answers.statistics
    yield GaugeMetricFamily("chat_answers_running", "Answers that are being made.", answers.running)
    yield CounterMetricFamily("chat_answer_tokens", "Tokens that the model has made.", counted.tokens)
    yield CounterMetricFamily(
        "chat_answer_tokens_unread", "Tokens that the model has made while nobody was reading.", counted.unread
    )
    ended = CounterMetricFamily("chat_answers", "Answers that have ended, by the reason.", labels=["reason"])
    for reason, count in counted.ended.items():
        ended.add_metric([reason], count)
    yield ended
