"""What the cases share: the plan, the results, and how a run becomes a measurement."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import redis
from rich.console import Console

from bench.peers.catalogue import LANEWAY, OURS, Peer
from bench.peers.install import Installer, NotInstalledError
from bench.peers.plan import Plan
from bench.peers.results import Measurement, Results
from bench.peers.run import RunError
from laneway.dev import embedded

FAILURES = (RunError, OSError, redis.RedisError, embedded.EmbeddedError)
"""What ends one run and not the benchmark: a peer or its server that fails, or does not end in time."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run measured."""

    figures: dict[str, float]
    samples_ms: tuple[float, ...] = ()


@dataclass(slots=True)
class Bench:
    """A benchmark under way."""

    plan: Plan
    results: Results
    installer: Installer
    console: Console
    started: float = field(default_factory=time.monotonic)

    def in_turn(self, peers: Iterable[Peer]) -> Iterator[Peer]:
        """Yield the peers, with Laneway before each of them, or only before the first where time is short."""
        for number, peer in enumerate(peers):
            if number == 0 or self.plan.between:
                yield LANEWAY
            yield peer

    def attempt(
        self,
        case: str,
        peer: Peer,
        measure: Callable[[], Figures],
        *,
        synced: bool | None = None,
        **parameters: int | str,
    ) -> Figures | None:
        """Measure, and keep the figures or the reason why there are none."""
        if time.monotonic() - self.started > self.plan.limit_seconds:
            if case not in self.results.out_of_time:
                self.results.out_of_time.append(case)
            return None
        figures, error = None, ""
        if peer.name not in self.results.skipped:
            try:
                figures = measure()
            except NotInstalledError as reason:
                self.results.skipped[peer.name] = str(reason)
                self.console.print(f"{peer.title} is not installed and is left out: {reason}", style="yellow")
            except FAILURES as reason:
                error = f"{type(reason).__name__}: {reason}"
        if figures or error:
            measurement = Measurement(
                case=case,
                peer=peer.name,
                synced=synced,
                archived=peer.name == OURS and case not in {"http", "batches"},
                parameters=parameters,
                figures=figures.figures if figures else {},
                samples_ms=[round(sample, 3) for sample in figures.samples_ms] if figures else [],
                error=error,
            )
            self.results.measurements.append(measurement)
            self._print(measurement, peer)
        return figures

    def _print(self, measurement: Measurement, peer: Peer) -> None:
        how = {True: "synced", False: "not synced", None: ""}[measurement.synced]
        parameters = " ".join(f"{name}={value}" for name, value in measurement.parameters.items())
        figures = "  ".join(f"{name} {value:,.6g}" for name, value in measurement.figures.items())
        self.console.print(
            f"{measurement.case:11} {peer.title:22} {how:10} {parameters}  {measurement.error or figures}",
            style="red" if measurement.error else None,
            highlight=False,
        )
