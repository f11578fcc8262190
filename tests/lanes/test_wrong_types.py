"""All or nothing: whatever key holds a value of another type, a script changes everything or nothing, and the checker mends it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from laneway.lanes.checker import Checker
from laneway.lanes.commands import (
    Cancel,
    Claim,
    Command,
    Connection,
    Expire,
    Finish,
    Lose,
    PresenceHeartbeat,
    PresenceInspect,
    Purge,
    PurgeDelayed,
    Release,
    Start,
)
from laneway.lanes.errors import ScriptFailed
from laneway.lanes.model import JobState, Lease, Outcome
from tests.lanes.driver import FOR_EVER, Driver
from tests.lanes.test_rights import WRITING, effective_commands

SHARED = [
    "ring", "lanes", "leases", "retries", "outbox", "cancels", "losses", "limits", "limited", "expiry", "clock", "turn", "turns",
    "wakeups", "presence", "watch", "departed", "archiver",
]  # fmt: skip
MAYBE = [
    "lane:zoe",
    "idem:zoe:key",
    "unique:zoe:u",
    "rate:zoe",
    "connections:new",
    "permits:gpu",
    "waiting:gpu",
    "starts:gpu",
]
"""Keys of single users that are not there yet."""
FOLLOWERS = "claim with followers"
"""The script `claim`, once more: lanes give more jobs than they have free slots."""
Dump = dict[bytes, bytes]


def dump(lanes: Driver) -> Dump:
    keys = lanes.client.keys("*")
    with lanes.client.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.dump(key)
        return dict(zip(keys, pipeline.execute(), strict=True))


def state(lanes: Driver) -> dict[bytes, tuple[bytes, int]]:
    """What each key holds, and when it expires."""
    values = dump(lanes)
    with lanes.client.pipeline(transaction=False) as pipeline:
        for key in values:
            pipeline.pexpiretime(key)
        return {key: (value, at) for (key, value), at in zip(values.items(), pipeline.execute(), strict=True)}


def changed_keys(lanes: Driver, before: dict[bytes, tuple[bytes, int]]) -> list[bytes]:
    after = state(lanes)
    return sorted(key for key in {*before, *after} if before.get(key) != after.get(key))


def restore(lanes: Driver, saved: Dump) -> None:
    with lanes.client.pipeline(transaction=False) as pipeline:
        pipeline.flushdb()
        for key, value in saved.items():
            pipeline.restore(key, 0, value)
        pipeline.execute()


def break_key(lanes: Driver, name: str) -> None:
    """Give the key a value of a type that no script uses for it."""
    key = lanes.key(name)
    kind = lanes.client.type(key)
    lanes.client.delete(key)
    if (
        kind == b"string"
        or name in {"clock", "turn", "archiver"}
        or name.startswith(("idem:", "unique:", "rate:"))
    ):
        lanes.client.rpush(key, "foreign")
    else:
        lanes.client.set(key, "foreign")


def names_of_keys(lanes: Driver, saved: Dump) -> list[str]:
    prefix = lanes.keys.prefix.encode()
    return [key.removeprefix(prefix).decode() for key in saved if key.startswith(prefix)]


def check_all_or_nothing(lanes: Driver, command: Command[Any], saved: Dump, names: list[str]) -> None:
    """Break one key after another. The command changes everything or nothing, and works once the checker has run."""
    restore(lanes, saved)
    before = state(lanes)
    lanes.run(command)
    assert changed_keys(lanes, before), "without damage it changes something"
    halves, without_effect, broken = [], [], []
    for name in names:
        restore(lanes, saved)
        break_key(lanes, name)
        before = state(lanes)
        try:
            lanes.run(command)
            if not changed_keys(lanes, before):
                without_effect.append(name)
        except ScriptFailed:
            if changed := changed_keys(lanes, before):
                halves.append((name, changed))
            lanes.check_all()
            try:
                lanes.run(command)
            except ScriptFailed as error:
                broken.append((name, str(error)))
    assert not halves
    assert not without_effect
    assert not broken, "the checker has mended it"


@pytest.fixture
def prepared(own_lanes: Driver) -> tuple[Driver, dict[str, Any], Dump, list[str]]:
    commands = effective_commands(own_lanes)
    saved = dump(own_lanes)
    commands[FOLLOWERS] = Claim(9, 30, with_followers=True)
    return own_lanes, commands, saved, sorted({*names_of_keys(own_lanes, saved), *SHARED, *MAYBE})


@pytest.mark.parametrize("script", [*WRITING, FOLLOWERS])
def test_a_key_of_another_type_leaves_nothing_half_written(
    prepared: tuple[Driver, dict[str, Any], Dump, list[str]], script: str
) -> None:
    lanes, commands, saved, names = prepared
    check_all_or_nothing(lanes, commands[script], saved, names)


def two_started(lanes: Driver, *, are_asked_to_stop: bool = True) -> list[Lease]:
    leases = [*lanes.started("ann"), *lanes.started("bob")]
    for lease in leases:
        lanes.enqueue(lease.user)
        if are_asked_to_stop:
            lanes.run(Cancel(lease.user, lease.job_id))
    return leases


def two_claimed(lanes: Driver) -> list[Lease]:
    lanes.enqueue("ann")
    lanes.enqueue("bob")
    leases = lanes.claim()
    for lease in leases:
        lanes.run(Cancel(lease.user, lease.job_id))
    return leases


def end(lanes: Driver) -> Command[Any]:
    leases = two_started(lanes, are_asked_to_stop=False)
    return Finish("w1", [Outcome(lease, JobState.SUCCEEDED, 1, b"1") for lease in leases])


def end_though_asked_to_stop(lanes: Driver) -> Command[Any]:
    return Finish("w1", [Outcome(lease, JobState.FAILED, 1, b"{}") for lease in two_started(lanes)])


def stop(lanes: Driver) -> Command[Any]:
    return Finish("w1", [Outcome(lease, JobState.RETRYING, 1, b"{}", 1) for lease in two_started(lanes)])


def lose(lanes: Driver) -> Command[Any]:
    return Lose("w1", two_started(lanes), [1, 1])


def expire(lanes: Driver) -> Command[Any]:
    lanes.age(*two_started(lanes))
    return Expire()


def start(lanes: Driver) -> Command[Any]:
    return Start("w1", two_claimed(lanes), [1, 1])


def release(lanes: Driver) -> Command[Any]:
    return Release(two_claimed(lanes))


def claim_what_is_lost(lanes: Driver) -> Command[Any]:
    for lease in two_started(lanes, are_asked_to_stop=False):
        lanes.finish(lease, state=JobState.RETRYING)
        lanes.client.delete(lanes.key(f"spec:{lease.job_id}"))
    return Claim(9, 30)


def purge(lanes: Driver) -> Command[Any]:
    for lease in lanes.started("ann", 2):
        lanes.finish(lease, state=JobState.RETRYING, delay=60)
    lanes.enqueue("ann", 2)
    return Purge("ann", FOR_EVER, "purged")


def purge_delayed(lanes: Driver) -> Command[Any]:
    lanes.enqueue("ann", 3, delay=1000)
    return PurgeDelayed("ann", FOR_EVER, "purged")


SEVERAL = [
    end,
    end_though_asked_to_stop,
    stop,
    lose,
    expire,
    start,
    release,
    claim_what_is_lost,
    purge,
    purge_delayed,
]


@pytest.mark.parametrize("prepare", SEVERAL)
def test_with_several_jobs_in_one_call_nothing_is_half_written_either(
    own_lanes: Driver, prepare: Callable[[Driver], Command[Any]]
) -> None:
    command = prepare(own_lanes)
    saved = dump(own_lanes)
    check_all_or_nothing(own_lanes, command, saved, names_of_keys(own_lanes, saved))


def test_a_foreign_lane_holds_up_no_end_of_another_user(own_lanes: Driver) -> None:
    leases = two_started(own_lanes, are_asked_to_stop=False)
    break_key(own_lanes, "lane:bob")
    assert own_lanes.finish(*leases) == [True, True]
    assert own_lanes.done() == [lease.job_id for lease in leases]
    own_lanes.check_all()
    assert len(own_lanes.lane("bob")) == 1, "what waited behind it is there again"


def test_one_foreign_key_holds_up_nobody_else(own_lanes: Driver) -> None:
    """The other jobs of the same call start, and their lease expires; what the foreign key was is rebuilt."""
    ann, bob = own_lanes.claimed("ann"), own_lanes.claimed("bob")
    break_key(own_lanes, "lane:ann")
    assert own_lanes.start(*ann, *bob) == [1, 1]
    assert own_lanes.where("bob", bob[0].job_id) == ["started"]
    Checker(own_lanes.lanes).check_slice()
    assert own_lanes.where("ann", ann[0].job_id) == ["started"]
    break_key(own_lanes, f"job:{ann[0].job_id}")
    assert {lost.user for lost in own_lanes.lose(*ann, *bob)} == {"ann", "bob"}
    assert sorted(own_lanes.ring()) == ["ann", "bob"]


def test_a_foreign_key_of_one_user_keeps_nobody_elses_presence_from_being_renewed(own_lanes: Driver) -> None:
    break_key(own_lanes, "connections:ann")
    own_lanes.run(PresenceHeartbeat([Connection("ann", "token:1"), Connection("bob", "token:2")], 30, 20))
    for user in ("ann", "bob"):
        assert own_lanes.run(PresenceInspect(user)).connected


@pytest.mark.parametrize("name", ["lane:late", "job:late", "lane:due", "job:due"])
def test_a_foreign_key_of_a_retry_leaves_no_half_claim(own_lanes: Driver, name: str) -> None:
    """One job is due in its lane, and one stands among the retries. No claim fails, and both jobs are claimed in the end."""
    jobs: dict[str, str] = {}
    for user in ("due", "late"):
        (lease,) = own_lanes.started(user)
        own_lanes.finish(lease, state=JobState.RETRYING, delay=60)
        jobs[user] = lease.job_id
    own_lanes.age_retry(jobs["due"])
    own_lanes.release(*own_lanes.claim())
    own_lanes.age_retry(jobs["late"])
    assert [own_lanes.where(user, job) for user, job in jobs.items()] == [["due"], ["started"]]
    kind, user = name.split(":")
    break_key(own_lanes, name if kind == "lane" else f"job:{jobs[user]}")
    claimed = {lease.job_id for lease in own_lanes.claim(9)}
    own_lanes.check_all()
    claimed |= {lease.job_id for lease in own_lanes.claim(9)}
    assert claimed == set(jobs.values())


@pytest.mark.parametrize("user", ["due", "late"])
def test_a_foreign_request_of_a_retry_holds_up_no_other_job(own_lanes: Driver, user: str) -> None:
    """One job is due in its lane, and one stands among the retries."""
    jobs: dict[str, str] = {}
    for name in ("due", "late"):
        (lease,) = own_lanes.started(name)
        own_lanes.finish(lease, state=JobState.RETRYING, delay=60)
        jobs[name] = lease.job_id
    own_lanes.age_retry(jobs["due"])
    own_lanes.release(*own_lanes.claim())
    own_lanes.age_retry(jobs["late"])
    (eves,) = own_lanes.enqueue("eve")
    break_key(own_lanes, f"spec:{jobs.pop(user)}")
    own_lanes.run(Expire())
    assert {lease.job_id for lease in own_lanes.claim(9)} == {*jobs.values(), eves}


@pytest.mark.parametrize("has_expired", [True, False])
def test_a_foreign_request_keeps_no_other_lease_from_being_taken_back(
    own_lanes: Driver, has_expired: bool
) -> None:
    ann, bob = own_lanes.started("ann"), own_lanes.started("bob")
    break_key(own_lanes, f"spec:{ann[0].job_id}")
    if has_expired:
        own_lanes.age(*ann, *bob)
    lost = own_lanes.run(Expire()) if has_expired else own_lanes.lose(*ann, *bob)
    assert [one.user for one in lost] == ["bob"]
