"""Which replicas must not be stopped, and in which order the others go.

A worker that is told to stop finishes what it runs within its shutdown grace and hands the rest back to the head of
its lane: nothing is lost, but a job that had run for a while starts again. So the rule never goes below the number of
replicas that hold a job which would not end in time, and the operator gives these the highest deletion cost: a
ReplicaSet deletes pods that are not ready first, then those of the lowest cost.
"""

from __future__ import annotations

from collections.abc import Collection

GRACE_FRACTION = 5.0
"""A job whose run time is spread exponentially around a mean of a fifth of the grace outlasts the grace with
probability exp(-5), under 1 %; one that has already run for longer than that is taken to be of a longer kind."""

PINNED_COST = 1_000_000
"""Above any number of jobs in flight: one long job weighs more than a hundred short ones."""


def pins(age_seconds: float, service_seconds: float | None, grace_seconds: float) -> bool:
    """Whether a running job would probably be interrupted, were its replica told to stop now.

    `service_seconds`: the mean run time of such jobs (of its type, where that is known), None where it is not known.
    """
    if service_seconds is None:
        return True
    return max(age_seconds, service_seconds) * GRACE_FRACTION > grace_seconds


def deletion_cost(
    ages_seconds: Collection[float], service_seconds: float | None, grace_seconds: float
) -> int:
    """`controller.kubernetes.io/pod-deletion-cost` of a replica that runs jobs of these ages. Idle replicas cost 0."""
    pinned = any(pins(age, service_seconds, grace_seconds) for age in ages_seconds)
    return len(ages_seconds) + (PINNED_COST if pinned else 0)
