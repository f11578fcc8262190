"""The health of the store: what serving lacks is named, and what can cost jobs is warned of."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from redis.exceptions import ClusterDownError, MovedError, ResponseError

from laneway.dev.embedded import Embedded
from laneway.lanes.health import StoreHealth, store_health
from laneway.lanes.keys import Keys
from laneway.lanes.refusals import Reason, error_of, reason_of
from laneway.lanes.store import AsyncLanes, connect_async
from tests.lanes.driver import Driver
from tests.servers.redis_6 import redis_6

OTHER_FINDINGS = {"no_aof"}
"""The servers of tests write no append-only file."""


def look(url: str) -> StoreHealth:
    async def scenario() -> StoreHealth:
        client = connect_async(url, timeout_seconds=10)
        try:
            return await store_health(AsyncLanes(client, Keys("own")))
        finally:
            await client.aclose()

    return asyncio.run(scenario())


def url_as(server: Embedded, password: str) -> str:
    return re.sub("//[^@]*@", f"//ann:{password}@", server.url)


def problems(health: StoreHealth) -> set[str]:
    return {finding.kind for finding in health.problems}


def warnings(health: StoreHealth) -> set[str]:
    return {finding.kind for finding in health.warnings} - OTHER_FINDINGS


def test_a_good_server_has_no_findings_and_is_not_changed(own_server: Embedded, own_lanes: Driver) -> None:
    own_lanes.client.config_set("appendonly", "yes")
    assert look(own_server.url) == StoreHealth()
    assert own_lanes.all_keys() == set()


def test_a_server_that_is_away(own_server: Embedded) -> None:
    own_server.kill()
    health = look(own_server.url)
    assert problems(health) == {"no_answer"}
    assert not health.ready


def test_a_server_that_evicts_keys_or_keeps_nothing_is_warned_of(
    own_server: Embedded, own_lanes: Driver
) -> None:
    own_lanes.client.config_set("maxmemory-policy", "allkeys-lru")
    own_lanes.client.config_set("appendonly", "no")
    health = look(own_server.url)
    assert health.ready
    assert {finding.kind for finding in health.warnings} == {"eviction", "no_aof"}


def test_memory_that_runs_out(own_server: Embedded, own_lanes: Driver) -> None:
    own_lanes.client.setrange(
        "ballast", 30_000_000, b"x"
    )  # made by the server: what it read and logs would take memory for a while
    used = int(own_lanes.client.info("memory")["used_memory"])
    own_lanes.client.config_set("maxmemory", int(used * 1.05))
    assert warnings(look(own_server.url)) == {"memory"}
    own_lanes.client.config_set("maxmemory", used // 2)
    health = look(own_server.url)
    assert problems(health) == {"no_memory"}
    assert "Redis has no memory left" in health.problems[0].text


def test_a_replica_that_only_reads(own_server: Embedded, own_lanes: Driver) -> None:
    own_lanes.client.execute_command("REPLICAOF", "127.0.0.1", "1")
    assert "read_only" in problems(look(own_server.url))


@pytest.mark.parametrize(
    ("rights", "problem", "warning"),
    [
        ("-zadd", "acl", None),
        ("-blpop", "acl", None),
        ("-evalsha", "acl", None),
        ("-script", "acl", None),
        ("resetkeys", "acl", None),
        ("resetchannels", None, "no_events"),
        ("-info", None, "info_refused"),
    ],
)
def test_rights_that_are_missing_are_named(
    own_server: Embedded, own_lanes: Driver, rights: str, problem: str | None, warning: str | None
) -> None:
    all_rights = ["reset", "on", ">secret", "allkeys", "allchannels", "+@all"]
    own_lanes.client.execute_command("ACL", "SETUSER", "ann", *all_rights, rights)
    health = look(url_as(own_server, "secret"))
    assert problems(health) == ({problem} if problem else set())
    assert warnings(health) == ({warning} if warning else set())
    if rights == "-zadd":
        assert "ZADD" in health.problems[0].text


def test_a_wrong_password_is_named(own_server: Embedded) -> None:
    assert problems(look(url_as(own_server, "wrong"))) == {"log_in"}


@pytest.mark.parametrize(
    "lanes",
    [
        Mock(
            run=AsyncMock(
                side_effect=error_of(
                    ResponseError(
                        "Error compiling script (new function): user_script:1: unexpected symbol near '#'"
                    )
                )
            )
        ),
        Mock(
            run=AsyncMock(return_value=[]),
            client=Mock(info=AsyncMock(return_value={"redis_version": "6.2.14"})),
        ),
    ],
    ids=["by its answer to a script", "by its version"],
)
def test_a_server_that_is_too_old_is_named(lanes: Any) -> None:
    (problem,) = asyncio.run(store_health(lanes)).problems
    assert problem.kind == "too_old"
    assert "older than 7.0" in problem.text


def test_a_real_redis_6_2_is_named(tmp_path: Path) -> None:
    with redis_6(tmp_path) as server:
        (problem,) = look(server.url).problems
    assert problem.kind == "too_old"
    assert "older than 7.0" in problem.text


def test_a_database_that_the_server_does_not_have_is_named(own_server: Embedded) -> None:
    (problem,) = look(own_server.url.removesuffix("/0") + "/99").problems
    assert problem.kind == "no_database"
    assert "no database of this number" in problem.text


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ClusterDownError("Hash slot not served"), Reason.CLUSTER),
        (MovedError("866 127.0.0.1:7001"), Reason.CLUSTER),
        (ResponseError("SELECT is not allowed in cluster mode"), Reason.NO_DATABASE),
        (
            ResponseError("UNBLOCKED force unblock from blocking operation, instance state changed"),
            Reason.READ_ONLY,
        ),
    ],
)
def test_a_server_that_does_not_serve_us_any_more_is_named(error: Exception, reason: Reason) -> None:
    assert reason_of(error) is reason
