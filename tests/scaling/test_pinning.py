"""Which replicas may be stopped, and in which order."""

from __future__ import annotations

from laneway.scaling import deletion_cost, pins


def test_short_jobs_end_within_the_grace_and_pin_nothing() -> None:
    assert not pins(age_seconds=0.5, service_seconds=2.0, grace_seconds=25)


def test_long_jobs_pin_from_their_first_second() -> None:
    assert pins(age_seconds=0.0, service_seconds=1800, grace_seconds=25)


def test_a_job_that_has_run_for_longer_than_its_kind_pins() -> None:
    assert pins(age_seconds=60, service_seconds=0.1, grace_seconds=25)


def test_an_unknown_run_time_pins() -> None:
    assert pins(age_seconds=0.0, service_seconds=None, grace_seconds=25)


def test_a_grace_longer_than_the_jobs_frees_them() -> None:
    assert not pins(age_seconds=1700, service_seconds=1800, grace_seconds=9_000)


def test_idle_replicas_go_first_then_those_with_few_short_jobs_and_long_jobs_last() -> None:
    replicas = {"idle": [], "two": [0.1, 0.2], "nine": [0.1] * 9, "long": [400.0]}
    costs = {name: deletion_cost(ages, 1.0, 25) for name, ages in replicas.items()}
    assert sorted(costs, key=lambda name: costs[name]) == ["idle", "two", "nine", "long"]
    assert costs["idle"] == 0
    assert costs["long"] < 2**31  # the annotation is an int32
