"""At the end of a run: wait until nothing is queued, and ask everybody who should know how each job has ended."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import httpx
import orjson
import pymongo

from chaos.checker.judge import judge
from chaos.checker.verdict import Verdict
from chaos.clients.load import signed
from chaos.records import Ending, History, canonical, note, read
from chaos.system.programs import wait_for
from chaos.system.system import System

QUIET_SECONDS = 120.0
LIST_SECONDS = 60.0
PAGE = 100
KEPT = (
    "clock",
    "limits",
    "turn",
    "turns",
    "wakeups",
    "presence",
    "watch",
    "archiver",
    "expiry",
)
"""Keys that a system without jobs may have, beside those with a time to live."""


def await_quiet(system: System, users: Sequence[str], seconds: float = QUIET_SECONDS) -> None:
    """Wait until no lane of these users holds a job, and all ended jobs are in MongoDB. Raises AssertionError."""
    deadline = time.monotonic() + seconds
    with _http() as http:
        tokens = {user: signed(system.secret, user) for user in users}
        busy = list(users)
        while busy or not _all_archived(system):
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"not quiet after {seconds} s: {len(busy)} lanes, first {[_queue(system, http, tokens[u]) for u in busy[:3]]}"
                )
            busy = [user for user in busy if _queue(system, http, tokens[user]) != (0, 0)]
            time.sleep(0.1)


def _queue(system: System, http: httpx.Client, token: str) -> tuple[int, int] | None:
    found = _ask(system, http, token, "/api/queue")
    return None if found is None else (found["queued"], found["running"])


def _ask(system: System, http: httpx.Client, token: str, path: str) -> Any:
    try:
        answer = http.get(system.urls[0] + path, headers={"Authorization": f"Bearer {token}"})
        return orjson.loads(answer.raise_for_status().content)
    except httpx.HTTPError:
        return None


def _http() -> httpx.Client:
    return httpx.Client(timeout=10)


def _all_archived(system: System) -> bool:
    with system.redis.client() as redis:
        return not redis.exists("{laneway:0}:1:outbox")


def collect(system: System, users: Iterable[str]) -> None:
    """Note what the API and MongoDB say of all jobs of these users."""
    records = system.records
    with _http() as http, pymongo.MongoClient[dict[str, Any]](system.mongo.url) as mongo:
        for user in users:
            for ending in _by_api(system, http, user):
                note(records, "endings", ending)
        known = set(users)
        for source, collection in (("history", "history"), ("dead_letters", "dead_letters")):
            for found in mongo["laneway"][collection].find({}):
                user, _, job_id = found["_id"].rpartition("/")
                if user in known:
                    note(records, "endings", _of_mongo(found, job_id, user, source))


def _by_api(system: System, http: httpx.Client, user: str) -> Iterator[Ending]:
    token, before = signed(system.secret, user), ""
    while True:
        path = f"/api/jobs?limit={PAGE}&before={before}"
        page = wait_for(partial(_ask, system, http, token, path), LIST_SECONDS, "the API lists jobs")
        for job in page["jobs"]:
            result = None if job["result"] is None else canonical(job["result"])
            yield Ending(
                job["job_id"], user, "api", job["state"], job["attempts"], job["request"]["tag"], result
            )
        if not page["next"]:
            return
        before = page["next"]


def _of_mongo(found: dict[str, Any], job_id: str, user: str, source: str) -> Ending:
    result = found.get("result")
    return Ending(
        job_id,
        user,
        source,
        found["state"],
        found["attempts"],
        orjson.loads(found["request"])["tag"],
        None if result is None else canonical(orjson.loads(result)),
    )


def of_users(history: History, users: Iterable[str]) -> History:
    """What concerns these users, and all faults."""
    known = set(users)
    return replace(
        history,
        accepted=tuple(one for one in history.accepted if one.user in known),
        ambiguous=tuple(one for one in history.ambiguous if one.user in known),
        cancelled=tuple(one for one in history.cancelled if one.user in known),
        attempts=tuple(one for one in history.attempts if one.user in known),
        endings=tuple(one for one in history.endings if one.user in known),
    )


def verdict(
    system: System, users: Sequence[str], slots_of: dict[int, Sequence[str]] | None = None
) -> Verdict:
    """Judge what happened to these users' jobs. `slots_of`: users by the slots of their lanes, where not all have the default."""
    history = read(system.records, system.limits)
    if not slots_of:
        return judge(of_users(history, users))
    parts = []
    for slots, some in slots_of.items():
        limits = replace(system.limits, lane_concurrency=slots)
        parts.append(judge(replace(of_users(history, some), limits=limits)))
    checked = {rule: sum(part.checked[rule] for part in parts) for rule in parts[0].checked}
    return Verdict(checked, tuple(violation for part in parts for violation in part.violations))


def leftovers(system: System) -> list[str]:
    """Keys that are in Redis though nothing is queued: each would be there for ever."""
    with system.redis.client() as redis:
        keys = [key.decode() for key in redis.scan_iter(count=1000)]
        names = {key: key.rpartition(":1:")[2] for key in keys}
        found = [key for key, name in names.items() if name not in KEPT]
        return [key for key in found if redis.pttl(key) < 0]
