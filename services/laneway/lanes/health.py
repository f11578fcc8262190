"""Whether Redis can do what serving needs, and whether it keeps what it is given.

`store_health` answers for `/readyz`, log and metrics of workers, API and operator, and for `laneway doctor`. The doctor alone also asks
what does not change while a program runs: `server_name`, `sync_findings`, `clock_findings`. Nothing here changes anything in Redis.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from redis.exceptions import RedisError

from laneway.lanes.commands import Finish, Probe
from laneway.lanes.errors import LaneError, StoreUnavailable
from laneway.lanes.refusals import Reason, error_of, reason_of
from laneway.lanes.scripts import all_commands
from laneway.lanes.store import AsyncLanes

NEARLY_FULL = 0.9
"""Share of `maxmemory` from which a warning is given."""
CLOCK_SECONDS = 2.0
"""Difference between two clocks from which it is a finding."""
OTHER_COMMANDS = ("BLPOP", "MGET", "LLEN", "HMGET")
"""Commands that Python sends by itself."""


class Finding(NamedTuple):
    """Something that is wrong. `kind`: a word for logs and labels of metrics. `text`: what is wrong and what to do."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class StoreHealth:
    """The findings of one look at Redis."""

    problems: tuple[Finding, ...] = ()
    """Jobs cannot be accepted or served."""
    warnings: tuple[Finding, ...] = ()
    """Jobs are served, but can be lost or are not seen live."""

    @property
    def ready(self) -> bool:
        """Whether jobs can be accepted and served."""
        return not self.problems


async def store_health(lanes: AsyncLanes) -> StoreHealth:
    """Look at Redis. Raises nothing: an error is a finding."""
    try:
        refused = await lanes.run(Probe([*all_commands(), *OTHER_COMMANDS]))
        if not refused:
            await lanes.run(
                Finish("", ())
            )  # may write, and writes nothing: Redis says whether it would let it
    except StoreUnavailable as error:
        return StoreHealth(problems=(Finding(_kind(error.reason), str(error)),))
    except LaneError as error:
        return StoreHealth(problems=(Finding("script_failed", str(error)),))
    try:
        info: Mapping[str, Any] = await lanes.client.info()
    except RedisError as error:
        if reason_of(error) != Reason.ACL:
            return StoreHealth(problems=(Finding(_kind(reason_of(error) or Reason.NO_ANSWER), str(error)),))
        text = "the ACL refuses INFO, so memory, eviction and persistence are unknown: allow +info"
        found = StoreHealth(warnings=(Finding("info_refused", text),))
    else:
        found = StoreHealth(tuple(_problems(info)), tuple(_warnings(info)))
    rights = [name for name in refused if name != "PUBLISH"]
    if rights:
        text = f"the ACL refuses {' '.join(rights)}: allow them on the keys {lanes.keys.prefix}*"
        found = StoreHealth((*found.problems, Finding("acl", text)), found.warnings)
    if "PUBLISH" in refused:
        text = f"the ACL refuses to publish, so there are no live events: allow &{lanes.keys.prefix}*"
        found = StoreHealth(found.problems, (*found.warnings, Finding("no_events", text)))
    return found


async def max_memory(lanes: AsyncLanes) -> int:
    """Return how many bytes Redis may use; 0 if it has no limit. Raises StoreUnavailable."""
    try:
        info: Mapping[str, Any] = await lanes.client.info("memory")
    except RedisError as error:
        raise error_of(error) from error
    return _memory(info)[1]


async def server_name(lanes: AsyncLanes) -> str:
    """Return the kind and version of the server, as in `Valkey 9.1.0`; `Redis` if the ACL refuses INFO. Raises StoreUnavailable."""
    info = await _asked(lanes.client.info("server"))
    if info is None:
        return "Redis"
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info.get('redis_version', '')}".rstrip()


async def sync_findings(lanes: AsyncLanes) -> list[Finding]:
    """Return what a power cut can cost, by `appendfsync`. Raises StoreUnavailable."""
    found = await _asked(lanes.client.config_get("appendonly", "appendfsync"))
    if not found:
        return [
            Finding(
                "fsync_unknown", "Redis refuses CONFIG GET, so appendfsync is unknown: it should be always"
            )
        ]
    how = found.get("appendfsync", "always")
    if how == "always" or found.get("appendonly") == "no":  # `store_health` warns of appendonly
        return []
    loss = "the last second" if how == "everysec" else "up to half a minute"
    return [
        Finding(
            "fsync", f"appendfsync is {how}, so a power cut loses {loss} of accepted jobs: always loses none"
        )
    ]


async def clock_findings(lanes: AsyncLanes) -> list[Finding]:
    """Compare Redis's clock with that of this machine. Raises StoreUnavailable."""
    before = time.time()
    found = await _asked(lanes.client.time())
    if found is None:  # `store_health` names the right that is missing
        return []
    ahead = (before + time.time()) / 2 - (found[0] + found[1] / 1_000_000)
    if abs(ahead) < CLOCK_SECONDS:
        return []
    return [
        clock_finding(f"{abs(ahead):,.1f}", ahead, "Redis, so jobs and schedules come due at the wrong time")
    ]


def clock_finding(seconds: str, ahead: float, other: str) -> Finding:
    """Say that the clock of this machine differs by `seconds`. `other`: whose clock it differs from, and what follows from it."""
    side = "ahead of" if ahead > 0 else "behind"
    text = (
        f"the clock of this machine is {seconds} s {side} that of {other}: set both by a time service (NTP)"
    )
    return Finding("clock", text)


async def _asked(answer: Awaitable[Any]) -> Any:
    """Return the answer, or None if the ACL, or a provider that has disabled the command, refuses it."""
    try:
        return await answer
    except RedisError as error:
        if reason_of(error) == Reason.ACL or "unknown command" in str(error):
            return None
        raise error_of(error) from error


def _kind(reason: str) -> str:
    return Reason(reason).name.lower()


def _problems(info: Mapping[str, Any]) -> Iterator[Finding]:
    if int(str(info.get("redis_version", "7")).split(".", 1)[0]) < 7:
        yield Finding("too_old", f"{Reason.TOO_OLD}: it is {info['redis_version']}")
    if info.get("role") not in (None, "master"):
        yield Finding("read_only", f"{Reason.READ_ONLY}: connect to its primary")
    if info.get("loading"):
        yield Finding("loading", Reason.LOADING)
    used, limit = _memory(info)
    if limit and used >= limit and info.get("maxmemory_policy") == "noeviction":
        yield Finding("no_memory", f"{Reason.NO_MEMORY}: it uses {used:,} of {limit:,} bytes")
    if info.get("aof_last_write_status", "ok") != "ok":
        yield Finding("no_disk", f"{Reason.NO_DISK}: look at its log")


def _warnings(info: Mapping[str, Any]) -> Iterator[Finding]:
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield Finding("eviction", f"maxmemory-policy is {policy}, so jobs can be lost: set it to noeviction")
    if not info.get("aof_enabled", 1):
        yield Finding("no_aof", "appendonly is off, so a restart loses jobs: set it to yes")
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        yield Finding("not_saved", "the last snapshot of Redis failed: look at its log")
    used, limit = _memory(info)
    if limit and NEARLY_FULL * limit <= used < limit:
        yield Finding("memory", f"Redis uses {used:,} of {limit:,} bytes: give it more memory")


def _memory(info: Mapping[str, Any]) -> tuple[int, int]:
    return int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
