"""inspect_types: reads the limits of types and how much of them is used."""

from __future__ import annotations

from laneway.lanes.commands import InspectTypes, Reassert
from laneway.lanes.keys import TURN_PLACEHOLDER
from laneway.lanes.model import TypeLimit, TypeUse
from tests.lanes.driver import Driver


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
    lanes.run(Reassert(TURN_PLACEHOLDER.encode(), 5, 1, [TypeLimit("e mail"), TypeLimit("echo")]))
    assert lanes.run(InspectTypes()) == [], "a later release has no limit for it"
