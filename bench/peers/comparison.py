"""Puts the figures of Laneway and its peers side by side: what the printed table and README's table both show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.peers import statistics
from bench.peers.catalogue import OURS
from bench.peers.measures import MEASURES, Measure, describe
from bench.peers.results import Key, Results


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of one case."""

    measure: Measure
    where: str
    synced: bool | None
    values: dict[str, float]
    """By the names of peers."""
    errors: dict[str, str]

    @property
    def best_peer(self) -> str | None:
        """The peer with the best value."""
        peers = {name: value for name, value in self.values.items() if name != OURS}
        if not peers:
            return None
        choose = max if self.measure.more_is_better else min
        return choose(peers, key=peers.__getitem__)

    @property
    def ratio(self) -> float | None:
        """Laneway's value over that of the best peer."""
        best = self.best_peer
        if best is None or OURS not in self.values:
            return None
        return statistics.ratio(self.values[OURS], self.values[best])

    @property
    def title(self) -> str:
        """What was measured, where."""
        return f"{self.measure.label}, {self.where}" if self.where else self.measure.label


def rows(results: Results) -> list[Row]:
    """Return the rows in the order in which they were measured, those of one figure together."""
    return [
        row
        for case, measures in MEASURES.items()
        for measure in measures
        for row in _rows(results, case, measure)
    ]


def _rows(results: Results, case: str, measure: Measure) -> Iterator[Row]:
    medians, errors = results.medians(), results.errors()
    places = dict.fromkeys((key.synced, key.parameters) for key in [*medians, *errors] if key.case == case)
    for synced, parameters in places:
        values, failed = {}, {}
        for key, figures in medians.items():
            if _is_at(key, case, synced, parameters) and measure.figure in figures:
                values[key.peer] = figures[measure.figure]
        for key, error in errors.items():
            if _is_at(key, case, synced, parameters):
                failed[key.peer] = error
        if values or failed:
            yield Row(measure, describe(parameters), synced, values, failed)


def _is_at(key: Key, case: str, synced: bool | None, parameters: tuple[tuple[str, int | str], ...]) -> bool:
    return (key.case, key.synced, key.parameters) == (case, synced, parameters)
