"""All or nothing: whatever command of a script the ACL refuses, the script changes nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from laneway.dev.embedded import Embedded
from laneway.lanes import commands
from laneway.lanes.checker import Checker
from laneway.lanes.commands import Command, Connection, Disconnection
from laneway.lanes.errors import StoreUnavailable
from laneway.lanes.keys import TURN_PLACEHOLDER
from laneway.lanes.model import JobState, Outcome, TypeLimit
from laneway.lanes.scripts import load
from laneway.lanes.store import Lanes, connect
from tests.lanes.driver import FOR_EVER, Driver, new_job
from tests.lanes.test_scripts import NAMES, header

USER = "limited"
OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
ALL_RIGHTS = ["reset", "on", "nopass", "allkeys", "allchannels", "+@all"]
WRITING = [name for name in NAMES if "no-writes" not in header(name).flags]
COMMAND = re.compile(r"redis\.p?call\('(?!PUBLISH|XADD)([A-Z]+)'")


def effective_commands(lanes: Driver) -> dict[str, Command[Any]]:
    """Prepare lanes so that each writing script would change something. Return the commands that do."""
    lanes.run(commands.Turns(b"turn " + TURN_PLACEHOLDER.encode(), 1))
    lanes.run(commands.Pause("paused"))
    for user in ("gus", "hal", "ida"):
        lanes.enqueue(user, type_="gpu")
    permitted, waiting, asking = lanes.claim(3)
    lanes.ask(permitted, waiting, running=1, starts=9, period_seconds=1000)
    lanes.finish(permitted)
    (ended,) = lanes.started("ann")
    lanes.finish(ended)
    started, first = lanes.started("ann", 2)
    lanes.run(commands.Log([commands.NewLines(started, [b'[1,1,"info","text"]'], 1)]))
    lanes.enqueue("ann", 2)
    (lease,) = lanes.claim(1)
    lanes.enqueue("bob", 3)
    lanes.run(
        commands.PresenceHeartbeat([Connection("ann", "token:1"), Connection("eve", "other:1")], 300, 20)
    )
    lanes.run(commands.PresenceLogout("eve", "other"))
    (gone,) = lanes.run(commands.PresenceSweep(60, 500))
    lanes.run(commands.PresenceHeartbeat([Connection("eve", "other:2")], 30, 20))
    lanes.run(commands.PresenceLogout("eve", "other"))
    lanes.run(commands.HoldArchiver("holder", 300))
    lanes.run(commands.Report(commands.ReportKind.WORKERS, "w1", {}, 300))
    lanes.client.zadd(lanes.keys.leases, {ended.handle: FOR_EVER})
    lanes.client.delete(lanes.key("lane:bob"))
    lanes.enqueue("ann", 2, delay=1000)
    lanes.enqueue("late", delay=1e-6)
    lanes.enqueue("ann", unique_keys=["u"])
    lanes.enqueue("zoe", unique_keys=["held"])
    all_of_them: list[Command[Any]] = [
        commands.Archived([ended.job_id]),
        commands.CallWaiters(),
        commands.Cancel("ann", started.job_id),
        commands.CheckKeys([f"spec:{job_id}" for job_id in [lanes.enqueue("lost")[0]]]),
        commands.CheckLanes(),
        commands.CheckShared(),
        commands.Claim(9, 30),
        commands.Enqueue(
            "zoe",
            [new_job(unique_key="held"), new_job(unique_key="u"), new_job(delay=9)],
            commands.EnqueueLimits(rate_per_second=9, lane_bytes=9999, request_max_bytes=9999),
            "key",
            token_id="token",
            logged_in_ms=1,
        ),
        commands.Expire(),
        commands.Finish(
            "w1",
            [
                Outcome(first, JobState.RETRYING, 1, b"{}", 1000),
                Outcome(started, JobState.SUCCEEDED, 1, b"1"),
            ],
        ),
        commands.HoldArchiver("holder", 60),
        commands.LeaveArchiver("holder"),
        commands.Limit("ann", 1),
        commands.Log([commands.NewLines(started, [b'[2,1,"info","more"]'], 2)]),
        commands.Lose("w1", [started], [1]),
        commands.Pause("ann"),
        commands.Permit([commands.Asking(asking, TypeLimit("gpu", 2, 9, 1000))]),
        commands.PresenceDisconnect([Connection("ann", "token:1")]),
        commands.PresenceForget(Disconnection(*gone)),
        commands.PresenceHeartbeat([Connection("new", "token:9")], 30, 20),
        commands.PresenceLogout("ann", "token"),
        commands.PresenceSweep(60, 500),
        commands.Progress(started, 50, "half"),
        commands.Purge("ann", FOR_EVER, "purged"),
        commands.PurgeDelayed("ann", FOR_EVER, "purged"),
        commands.Reassert(b"turn", 1, 1, [TypeLimit("mail", 1)]),
        commands.Release([lease]),
        commands.Renew(90, [started.handle]),
        commands.Report(commands.ReportKind.WORKERS, "w1", {"processes": 2}, 60),
        commands.Resume("paused"),
        commands.Start("w1", [lease], [1]),
        commands.Turns(b"another " + TURN_PLACEHOLDER.encode(), 9),
        commands.Watch(["ann"], 30),
    ]
    lanes.client.delete(lanes.key("lane:lost"))
    lanes.client.zadd(lanes.keys.leases, {started.handle: 1})
    return {command.script: command for command in all_of_them}


class Limited:
    """A user of Redis whose rights a test takes away."""

    def __init__(self, server: Embedded, owner: Driver) -> None:
        self._owner, self._url = owner, server.url.replace("redis://", f"redis://{USER}:any@")
        self.allow()
        self._client = connect(self._url)
        self.lanes = Lanes(self._client, owner.keys)

    def allow(self, *changes: str) -> None:
        """Give the user all rights, changed like this."""
        self._owner.client.execute_command("ACL", "SETUSER", USER, *ALL_RIGHTS, *changes)

    def close(self) -> None:
        self._client.close()


@pytest.fixture
def limited(own_server: Embedded, own_lanes: Driver) -> Iterator[Limited]:
    user = Limited(own_server, own_lanes)
    yield user
    user.close()


def test_every_writing_script_is_tried(own_lanes: Driver) -> None:
    assert sorted(effective_commands(own_lanes)) == WRITING


@pytest.mark.parametrize("warm", [False, True], ids=["from the start", "taken away later"])
def test_a_script_with_a_refused_command_changes_nothing(
    own_lanes: Driver, limited: Limited, *, warm: bool
) -> None:
    tried = effective_commands(own_lanes)
    if warm:
        for name in tried:
            own_lanes.client.script_load(load(name).text)
    before = own_lanes.snapshot()
    for name, command in tried.items():
        needed = set(COMMAND.findall(load(name).text))
        assert needed
        for one in needed:
            limited.allow(f"-{one}")
            with pytest.raises(StoreUnavailable, match=f"ACL.* {one}\\b|ACL.*'{one.lower()}'"):
                limited.lanes.run(command)
            assert own_lanes.snapshot() == before, f"{name} without {one}"


@pytest.mark.parametrize("name", WRITING)
def test_with_all_rights_the_same_command_changes_something(
    own_lanes: Driver, limited: Limited, name: str
) -> None:
    command = effective_commands(own_lanes)[name]
    if name == "hold_archiver":
        own_lanes.client.delete(own_lanes.key("archiver"))
    before = own_lanes.snapshot()
    limited.lanes.run(command)
    assert own_lanes.snapshot() != before


def test_without_the_right_to_publish_there_are_no_events_and_everything_else_works(
    own_lanes: Driver, limited: Limited
) -> None:
    limited.allow("resetchannels")
    limited.lanes.run(commands.PresenceHeartbeat([Connection("ann", "token:1")], 30, 20))
    (job_id,) = limited.lanes.run(commands.Enqueue("ann", [new_job()])).job_ids
    assert own_lanes.ring() == ["ann"]
    (lease,) = limited.lanes.run(commands.Claim(1, 30)).leases
    limited.lanes.run(commands.Start("w1", [lease], [1]))
    assert limited.lanes.run(commands.Progress(lease, 10, ""))
    assert limited.lanes.run(commands.Finish("w1", [Outcome(lease, JobState.SUCCEEDED, 1, b"1")])) == [True]
    assert own_lanes.done() == [job_id]


def test_the_documented_rights_are_enough(own_lanes: Driver, limited: Limited) -> None:
    tried = effective_commands(own_lanes)
    documented = re.search(r"ACL SETUSER laneway on >PASSWORD (.*)`", OPERATIONS.read_text())
    assert documented
    rights = documented[1].replace("{laneway:0}", "{own:0}").split()
    own_lanes.client.execute_command("ACL", "SETUSER", USER, "reset", "on", "nopass", *rights)
    for command in tried.values():
        limited.lanes.run(command)
    assert Checker(limited.lanes).check_slice() is not None
    assert limited.lanes.client.info("memory")
    assert limited.lanes.client.publish(own_lanes.keys.events("ann"), "x") == 0
    with limited.lanes.client.pubsub() as channel:
        channel.subscribe(own_lanes.keys.events("ann"))
        assert channel.get_message(timeout=5)["type"] == "subscribe"
    assert limited.lanes.client.blpop([own_lanes.keys.wakeups], timeout=0.01) is not None
    assert limited.lanes.client.rpush(own_lanes.keys.wakeups_of("process"), b"1") == 1
    assert limited.lanes.client.pexpire(own_lanes.keys.wakeups_of("process"), 1000)


def test_keys_that_the_acl_does_not_cover_are_named(own_lanes: Driver, limited: Limited) -> None:
    limited.allow("resetkeys", "~other:*")
    with pytest.raises(StoreUnavailable, match="ACL"):
        limited.lanes.run(commands.Enqueue("ann", [new_job()]))
    assert own_lanes.all_keys() == set()
