"""What the janitor has done, counted, and served to Prometheus by the program that runs it: a worker or the operator."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

DeliveryOutcome = Literal["delivered", "failed", "cancelled", "dropped"]
"""How a delivery to a webhook ends."""


@dataclass(slots=True)
class DeliveryCounts:
    """Deliveries to webhooks since the program started."""

    accepted: int = 0
    outcomes: Counter[DeliveryOutcome] = field(default_factory=Counter)
    webhooks_disabled: int = 0


@dataclass(slots=True)
class JanitorStats:
    """Counts since the program started."""

    leases_expired: int = 0
    archived: int = 0
    disconnected: int = 0
    purged: int = 0
    lost: int = 0
    """Jobs that have failed because Redis had lost them."""
    damage: Counter[str] = field(default_factory=Counter)
    """How often each kind of damage in Redis was mended."""
    schedules_fired: int = 0
    """Jobs that schedules enqueued."""
    schedules_refused: int = 0
    """How often a schedule's job was refused; each is tried again."""
    schedules_missed: int = 0
    """How often a schedule dropped fire times that had been missed."""
    deliveries: DeliveryCounts = field(default_factory=DeliveryCounts)
    unserved_seconds: float = 0
    """For how long the ring has had work that nobody serves."""
    last_pass: float = 0
    """`time.monotonic()` of the last pass without an error; 0 before the first."""
    last_firing: float = 0
    """`time.monotonic()` of the last pass that fired all due schedules; 0 before the first."""


class JanitorCollector(Collector):
    """Serves the counts to Prometheus."""

    def __init__(self, stats: JanitorStats) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        """Yield a counter for each count, and the ages of the last good passes: NaN before the first."""
        yield from self._counters()
        yield from self._gauges()

    def _counters(self) -> Iterator[Metric]:
        stats = self._stats
        for name, text, value in (
            ("laneway_leases_expired", "Leases that expired.", stats.leases_expired),
            ("laneway_jobs_archived", "Ended jobs stored in MongoDB.", stats.archived),
            ("laneway_users_disconnected", "Users who have disconnected.", stats.disconnected),
            ("laneway_jobs_purged", "Jobs cancelled because their user disconnected.", stats.purged),
            ("laneway_jobs_lost", "Jobs that failed because Redis had lost them.", stats.lost),
            ("laneway_schedules_fired", "Jobs that schedules enqueued.", stats.schedules_fired),
            (
                "laneway_schedules_refused",
                "Jobs of schedules that were refused, to be tried again.",
                stats.schedules_refused,
            ),
            (
                "laneway_webhook_deliveries_accepted",
                "Deliveries to webhooks that were enqueued.",
                stats.deliveries.accepted,
            ),
            (
                "laneway_webhooks_disabled",
                "Webhooks that were disabled because of what their receiver did.",
                stats.deliveries.webhooks_disabled,
            ),
            (
                "laneway_schedules_missed",
                "Times that a schedule dropped fire times which had been missed.",
                stats.schedules_missed,
            ),
        ):
            yield CounterMetricFamily(name, text, value)
        damage = CounterMetricFamily(
            "laneway_damage_mended", "Damage in Redis that was mended.", labels=["kind"]
        )
        for kind, times in sorted(stats.damage.items()):
            damage.add_metric([kind], times)
        yield damage
        deliveries = CounterMetricFamily(
            "laneway_webhook_deliveries", "Deliveries to webhooks by their outcome.", labels=["outcome"]
        )
        for outcome in get_args(
            DeliveryOutcome
        ):  # also those that have not happened: `increase` needs a first value
            deliveries.add_metric([outcome], stats.deliveries.outcomes[outcome])
        yield deliveries

    def _gauges(self) -> Iterator[Metric]:
        stats = self._stats
        yield GaugeMetricFamily(
            "laneway_ring_unserved_seconds",
            "Time for which the ring has had work that nobody serves.",
            stats.unserved_seconds,
        )
        yield GaugeMetricFamily(
            "laneway_janitor_age_seconds", "Time since the janitor's last good pass.", _age(stats.last_pass)
        )
        yield GaugeMetricFamily(
            "laneway_schedules_age_seconds",
            "Time since the janitor last fired all schedules that were due.",
            _age(stats.last_firing),
        )


def _age(moment: float) -> float:
    """Return the seconds since a moment of the monotonic clock; NaN if it has not come yet."""
    return time.monotonic() - moment if moment else float("nan")
