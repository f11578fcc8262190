"""Medians of rounds and quantiles of latencies."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def quantile(values: Sequence[float], part: float) -> float:
    """Return a quantile, interpolated between neighbours. Raises ValueError for no values."""
    if not values:
        raise ValueError("there are no values to take a quantile of")
    ordered = sorted(values)
    position = part * (len(ordered) - 1)
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


def medians(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the median of each figure over the rounds that have it."""
    names = dict.fromkeys(name for figures in rounds for name in figures)
    return {name: statistics.median(figures[name] for figures in rounds if name in figures) for name in names}


def ratio(ours: float, theirs: float) -> float | None:
    """Return ours over theirs; None where theirs is 0."""
    return ours / theirs if theirs else None
