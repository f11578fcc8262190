"""The end of a run: wait until nothing is queued, ask every source how each job ended, and judge."""

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
from chaos.clients.tokens import authorization
from chaos.records import Ending, History, canonical, read_history, write_record
from chaos.system.programs import wait_for
from chaos.system.system import System

QUIET_SECONDS = 120.0
LIST_SECONDS = 60.0
PAGE = 100
PERMANENT_KEYS = (
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
"""Keys that a system without jobs may hold, beside those with a time to live."""
STAYS = -1
"""What PTTL answers for a key without a time to live. For a key that has expired since the scan it answers -2."""


def await_quiet(system: System, users: Sequence[str], seconds: float = QUIET_SECONDS) -> None:
    """Wait until no lane of these users holds a job and all ended jobs are in MongoDB. Raises AssertionError."""
    deadline = time.monotonic() + seconds
    with httpx.Client(timeout=10) as http:
        headers = {user: authorization(system.secret, user) for user in users}
        busy = list(users)
        while busy or not _all_archived(system):
            if time.monotonic() > deadline:
                examples = [(user, _queue(system, http, headers[user])) for user in busy[:3]]
                raise AssertionError(f"not quiet after {seconds} s: {len(busy)} lanes, such as {examples}")
            busy = [user for user in busy if _queue(system, http, headers[user]) != (0, 0)]
            time.sleep(0.1)


def _queue(system: System, http: httpx.Client, headers: dict[str, str]) -> tuple[int, int] | None:
    found = _get(system, http, headers, "/api/queue")
    return None if found is None else (found["queued"], found["running"])


def _get(system: System, http: httpx.Client, headers: dict[str, str], path: str) -> Any:
    """Return the answer of an API; None unless it is 200."""
    try:
        answer = http.get(system.urls[0] + path, headers=headers)
        return orjson.loads(answer.raise_for_status().content)
    except httpx.HTTPError:
        return None


def _all_archived(system: System) -> bool:
    with system.redis.client() as redis:
        return not redis.exists(system.keys.outbox)


def record_endings(system: System, users: Iterable[str]) -> None:
    """Record what the API and MongoDB report about all jobs of these users."""
    known = set(users)
    with httpx.Client(timeout=10) as http:
        for user in known:
            for ending in _from_api(system, http, user):
                write_record(system.records, "endings", ending)
    with pymongo.MongoClient[dict[str, Any]](system.mongo.url) as mongo:
        for source in ("history", "dead_letters"):
            for document in mongo["laneway"][source].find({}):
                user, _, job_id = document["_id"].rpartition("/")
                if user in known:
                    write_record(system.records, "endings", _from_mongo(document, job_id, user, source))


def _from_api(system: System, http: httpx.Client, user: str) -> Iterator[Ending]:
    headers, before = authorization(system.secret, user), ""
    while True:
        path = f"/api/jobs?limit={PAGE}&before={before}"
        page = wait_for(partial(_get, system, http, headers, path), LIST_SECONDS, "the API lists jobs")
        for job in page["jobs"]:
            result = None if job["result"] is None else canonical(job["result"])
            yield Ending(
                job["job_id"], user, "api", job["state"], job["attempts"], _tag(job["request"]), result
            )
        if not page["next"]:
            return
        before = page["next"]


def _from_mongo(document: dict[str, Any], job_id: str, user: str, source: str) -> Ending:
    result = document.get("result")
    return Ending(
        job_id,
        user,
        source,
        document["state"],
        document["attempts"],
        _tag(orjson.loads(document["request"] or b"null")),
        None if result is None else canonical(orjson.loads(result)),
    )


def _tag(request: Any) -> str:
    """Return the tag of a request; "" if the request is lost."""
    return str(request["tag"]) if isinstance(request, dict) else ""


def judge_users(
    system: System, users: Sequence[str], users_by_slots: dict[int, Sequence[str]] | None = None
) -> Verdict:
    """Judge what happened to these users' jobs. `users_by_slots` groups them where not all lanes have the default slots."""
    history = read_history(system.records, system.limits)
    if not users_by_slots:
        return judge(_of_users(history, users))
    parts = []
    for slots, some in users_by_slots.items():
        limits = replace(system.limits, lane_concurrency=slots)
        parts.append(judge(replace(_of_users(history, some), limits=limits)))
    checked = {rule: sum(part.checked[rule] for part in parts) for rule in parts[0].checked}
    return Verdict(checked, tuple(violation for part in parts for violation in part.violations))


def _of_users(history: History, users: Iterable[str]) -> History:
    """Keep the records of these users and all faults."""
    known = set(users)
    return replace(
        history,
        accepted=tuple(one for one in history.accepted if one.user in known),
        ambiguous=tuple(one for one in history.ambiguous if one.user in known),
        cancelled=tuple(one for one in history.cancelled if one.user in known),
        attempts=tuple(one for one in history.attempts if one.user in known),
        endings=tuple(one for one in history.endings if one.user in known),
        damaged=tuple(one for one in history.damaged if one.user in known),
    )


def leftover_keys(system: System) -> list[str]:
    """Return the keys that are in Redis although nothing is queued, and that would stay forever."""
    with system.redis.client() as redis:
        keys = [key.decode() for key in redis.scan_iter(count=1000)]
        names = {key: key.rpartition(":1:")[2] for key in keys}
        leftover = [key for key, name in names.items() if name not in PERMANENT_KEYS]
        return [key for key in leftover if redis.pttl(key) == STAYS]
