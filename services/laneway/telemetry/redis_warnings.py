"""Warnings about a Redis that serves but can lose jobs, for example because it evicts keys.

The API and the operator report them in their log, in `/readyz` and in metrics. Workers do, too, but there may be none while the API
accepts jobs. The words are those of `laneway.lanes.health`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

log = structlog.get_logger()


class RedisWarnings(Collector):
    """The warnings of the latest look at Redis."""

    def __init__(self) -> None:
        self._texts: Mapping[str, str] = {}

    @property
    def texts(self) -> Mapping[str, str]:
        """What is wrong and what to do, by kind."""
        return self._texts

    def set(self, warnings: Iterable[tuple[str, str]]) -> None:
        """Replace the warnings, each a kind and a text, and log those that are new."""
        texts = dict(warnings)
        for kind, text in texts.items():
            if kind not in self._texts:
                log.warning("redis_unsafe", reason=kind, remedy=text)
        self._texts = texts

    def collect(self) -> Iterator[Metric]:
        """Yield a series for each warning."""
        family = GaugeMetricFamily(
            "laneway_redis_warning", "1 for each reason why Redis could lose jobs.", labels=["reason"]
        )
        for kind in self._texts:
            family.add_metric([kind], 1)
        yield family
