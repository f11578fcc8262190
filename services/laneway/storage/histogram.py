"""Histograms of durations that can be added up, for quantiles over any number of minutes.

The buckets are fixed, so two histograms add up bucket by bucket, and a bucket is one `$inc` in MongoDB. Each power of two of
microseconds has eight buckets of equal width. A quantile is the middle of its bucket, so it is wrong by 6.25 % at most.
"""

from __future__ import annotations

from collections.abc import Mapping

_BITS = 4
"""Leading bits of a duration that select its bucket."""
_PER_DOUBLING = 1 << (_BITS - 1)
_MAX_US = (1 << 40) - 1
"""Twelve days. A longer duration counts as this one."""
BUCKETS = 2 * _PER_DOUBLING + (40 - _BITS) * _PER_DOUBLING
"""Number of buckets."""
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def bucket_of(duration_us: int) -> int:
    """Return the bucket of a duration. A negative one, by a clock that was set back, counts as 0."""
    if not 0 <= duration_us <= _MAX_US:
        duration_us = min(max(duration_us, 0), _MAX_US)
    shift = duration_us.bit_length() - _BITS
    if shift <= 0:
        return duration_us
    return _PER_DOUBLING * shift + (duration_us >> shift)


def seconds_of(bucket: int) -> float:
    """Return the middle of a bucket, in seconds."""
    shift = max(bucket // _PER_DOUBLING - 1, 0)
    low = bucket - _PER_DOUBLING * shift
    return ((2 * low + 1) << shift) / 2 / 1_000_000 if shift else low / 1_000_000


def quantiles(counts: Mapping[int, int]) -> dict[str, float] | None:
    """Return the QUANTILES in seconds of a histogram, which maps buckets to counts. None if it is empty."""
    total = sum(counts.values())
    if not total:
        return None
    found: dict[str, float] = {}
    seen = 0
    for bucket in sorted(counts):
        seen += counts[bucket]
        for name, share in QUANTILES.items():
            if name not in found and seen >= share * total:
                found[name] = seconds_of(bucket)
    return found
