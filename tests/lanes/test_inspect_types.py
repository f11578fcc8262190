"""inspect_types: reads the limits of types and how much of them is used."""

from __future__ import annotations

import pytest

from laneway.lanes.commands import GRANTED, InspectTypes, Reassert
from laneway.lanes.keys import TURN_PLACEHOLDER
from laneway.lanes.model import TypeLimit, TypeUse
from tests.lanes.driver import Driver

WAITS = 3


def test_without_limited_types_there_are_none(lanes: Driver) -> None:
    lanes.enqueue("ann")
    assert lanes.run(InspectTypes()) == []


def test_permits_and_waiters_are_counted(lanes: Driver) -> None:
    for user in ("ann", "bob", "eve"):
        lanes.enqueue(user, type_="gpu")
    leases = lanes.claim()
    lanes.ask(*leases, running=2)
    gpu = TypeLimit("gpu", 2)
    assert lanes.run(InspectTypes()) == [TypeUse(gpu, running=2, waiting=1)]
    lanes.finish(leases[0])
    assert lanes.run(InspectTypes()) == [TypeUse(gpu, running=1, waiting=1)], "whatever ended the lease"


def test_types_are_known_before_their_first_job(lanes: Driver) -> None:
    mail = TypeLimit("e mail", 0, 10, 60)
    lanes.run(Reassert(TURN_PLACEHOLDER.encode(), 5, 1, [mail, TypeLimit("echo")]))
    assert lanes.run(InspectTypes()) == [TypeUse(mail, 0, 0)]
    declare(lanes, TypeLimit("e mail"))
    assert limits(lanes) == [mail], "a worker of the release before may still declare it"
    pass_seconds(lanes, "e mail", 11)
    declare(lanes, TypeLimit("e mail"))
    assert limits(lanes) == []


def declare(lanes: Driver, *types: TypeLimit) -> None:
    """Declare limits as a worker does every two seconds."""
    lanes.run(Reassert(TURN_PLACEHOLDER.encode(), 5, 1, types))


def limits(lanes: Driver) -> list[TypeLimit]:
    return [use.limit for use in lanes.run(InspectTypes())]


def pass_seconds(lanes: Driver, type_: str, seconds: int) -> None:
    """Let the declaration of a type's limits be so much older."""
    *values, at_ms = lanes.client.hget(lanes.key("limited"), type_).decode().split()
    lanes.client.hset(lanes.key("limited"), type_, " ".join([*values, str(int(at_ms) - 1000 * seconds)]))


SMALL_AND_LARGE = [
    (TypeLimit("gpu", 3), TypeLimit("gpu", 5)),
    (TypeLimit("gpu", 5), TypeLimit("gpu", 0, 9, 1)),
    (TypeLimit("gpu", 3, 9, 1), TypeLimit("gpu", 5, 1, 60)),
    (TypeLimit("gpu", 3, 9, 60), TypeLimit("gpu", 3, 1, 1)),
    (TypeLimit("gpu", 0, 1, 1), TypeLimit("gpu", 0, 60, 60)),
    (TypeLimit("gpu", 3, 1, 1), TypeLimit("gpu", 3)),
]


@pytest.mark.parametrize(("small", "large"), SMALL_AND_LARGE)
def test_of_two_releases_the_larger_limits_hold_as_long_as_a_worker_declares_them(
    lanes: Driver, small: TypeLimit, large: TypeLimit
) -> None:
    for first, second in ((small, large), (large, small)):
        lanes.client.delete(lanes.key("limited"))
        declare(lanes, first)
        declare(lanes, second)
        for _ in range(8):  # two seconds each: as long as both declare theirs, nothing flips
            pass_seconds(lanes, "gpu", 2)
            declare(lanes, small)
            assert limits(lanes) == [large]
            declare(lanes, large)
            assert limits(lanes) == [large]
    for seconds in (8, 4):
        pass_seconds(lanes, "gpu", seconds)
        declare(lanes, small)
    assert limits(lanes) == [small], "the workers of the other release are gone"


def test_a_worker_that_asks_for_a_permit_changes_no_larger_limit(lanes: Driver) -> None:
    declare(lanes, TypeLimit("gpu", 5))
    for user in ("ann", "bob"):
        lanes.enqueue(user, type_="gpu")
    assert lanes.ask(*lanes.claim(), running=1) == [GRANTED, WAITS], "each asker applies its own"
    assert limits(lanes) == [TypeLimit("gpu", 5)]


def test_a_clock_that_was_set_back_keeps_no_old_limit(lanes: Driver) -> None:
    declare(lanes, TypeLimit("gpu", 5))
    pass_seconds(lanes, "gpu", -3600)
    declare(lanes, TypeLimit("gpu", 3))
    assert limits(lanes) == [TypeLimit("gpu", 3)]
