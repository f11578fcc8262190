"""All or nothing: whatever makes the server refuse writes, a script changes nothing, or all that it changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from laneway.lanes.commands import Command
from laneway.lanes.errors import StoreUnavailable
from laneway.lanes.refusals import Reason
from tests.lanes.driver import Driver
from tests.lanes.test_rights import WRITING, effective_commands
from tests.lanes.test_wrong_types import dump, restore

REFUSALS: dict[str, tuple[Callable[[Any], object], Callable[[Any], object], Reason]] = {
    "no memory": (
        lambda client: client.config_set("maxmemory", 1),
        lambda client: client.config_set("maxmemory", 0),
        Reason.NO_MEMORY,
    ),
    "too few replicas": (
        lambda client: client.config_set("min-replicas-to-write", 1),
        lambda client: client.config_set("min-replicas-to-write", 0),
        Reason.TOO_FEW_REPLICAS,
    ),
    "a replica": (
        lambda client: client.execute_command("REPLICAOF", "127.0.0.1", "1"),
        lambda client: client.execute_command("REPLICAOF", "NO", "ONE"),
        Reason.READ_ONLY,
    ),
}
RUN_WITHOUT_MEMORY = {"enqueue": False, "finish": True, "archived": True, "cancel": True, "expire": True}
"""Some scripts, and whether they run while there is no memory: those that end jobs make room."""


def refused(lanes: Driver, command: Command[Any]) -> StoreUnavailable | None:
    """Run the command. Return why Redis refused it, if it did."""
    try:
        lanes.run(command)
    except StoreUnavailable as error:
        return error
    return None


@pytest.mark.parametrize("how", REFUSALS)
def test_a_server_that_refuses_writes_leaves_nothing_half_written(own_lanes: Driver, how: str) -> None:
    refuse, allow, reason = REFUSALS[how]
    commands = effective_commands(own_lanes)
    saved = dump(own_lanes)
    ran: dict[str, bool] = {}
    for name in WRITING:
        restore(own_lanes, saved)
        before = dump(own_lanes)
        refuse(own_lanes.client)
        refusal = refused(own_lanes, commands[name])
        allow(own_lanes.client)
        ran[name] = refusal is None
        if refusal is not None:
            assert refusal.reason == reason
            assert dump(own_lanes) == before, name
    if how == "no memory":
        assert {name: ran[name] for name in RUN_WITHOUT_MEMORY} == RUN_WITHOUT_MEMORY
    else:
        assert not any(ran.values())
