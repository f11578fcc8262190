"""A driver that does things to lanes in few words and reads their keys (the catalogue is in `scripts/_keys.lua`)."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Sequence
from typing import Any

import redis

from laneway.lanes.checker import Checker
from laneway.lanes.commands import (
    WORKER_LOSS_LIMITS,
    Asking,
    Claim,
    Enqueue,
    EnqueueLimits,
    Expire,
    Finish,
    Lose,
    Permit,
    Release,
    Renew,
    Start,
    WorkerLossLimits,
)
from laneway.lanes.keys import Keys
from laneway.lanes.model import Accepted, JobState, Lease, LostJob, NewJob, Outcome, TypeLimit, seq_of
from laneway.lanes.store import Lanes, connect

W = 2**51
BANDS = {-3: "claimed", -2: "started", -1: "due", 0: "waiting"}
ENDED_LINES = [
    "state",
    "attempts",
    "finished_us",
    "started_us",
    "worker",
    "outcome",
    "reason",
    "progress",
    "note",
    "user",
    "body",
]
FOR_EVER = 2**51 - 1
"""A moment after the acceptance of every job."""


def new_job(
    request: bytes = b"null",
    max_attempts: int = 3,
    type_: str = "echo",
    *,
    delay: float = 0,
    not_before_us: int = 0,
    unique_key: str = "",
) -> NewJob:
    return NewJob(secrets.token_hex(6), type_, request, max_attempts, delay, not_before_us, unique_key)


class Driver:
    """The lanes behind one prefix, and their keys."""

    def __init__(self, url: str, name: str) -> None:
        self.url = url
        self.client: Any = connect(url)
        self.lanes = Lanes(self.client, Keys(name))
        self.keys = self.lanes.keys
        self.run = self.lanes.run

    def close(self) -> None:
        self.client.close()

    # -- actions -------------------------------------------------------------------------------------------------

    def accept(
        self,
        user: str,
        count: int = 1,
        *,
        max_attempts: int = 3,
        type_: str = "echo",
        delay: float = 0,
        not_before_us: int = 0,
        unique_keys: Sequence[str] = (),
        **options: Any,
    ) -> Accepted:
        """Enqueue jobs, one for each of the unique keys if there are any. Options are those of `Enqueue` and of `EnqueueLimits`."""
        limits = {name: options.pop(name) for name in EnqueueLimits.__slots__ if name in options}
        jobs = [
            new_job(
                max_attempts=max_attempts,
                type_=type_,
                delay=delay,
                not_before_us=not_before_us,
                unique_key=key,
            )
            for key in unique_keys or [""] * count
        ]
        return self.run(Enqueue(user, jobs, EnqueueLimits(**limits), **options))

    def enqueue(self, user: str, count: int = 1, **options: Any) -> list[str]:
        return list(self.accept(user, count, **options).job_ids)

    def claim(
        self, limit: int = 64, lease_seconds: float = 30, *, with_followers: bool = False
    ) -> list[Lease]:
        return list(self.run(Claim(limit, lease_seconds, with_followers)).leases)

    def start(self, *leases: Lease) -> list[int]:
        return self.run(Start("w1", leases, [1000] * len(leases)))

    def finish(
        self, *leases: Lease, state: JobState = JobState.SUCCEEDED, delay: float = 0, body: bytes = b'"done"'
    ) -> list[bool]:
        return self.run(Finish("w1", [Outcome(lease, state, 1000, body, delay) for lease in leases]))

    def release(self, *leases: Lease, delay: float = 0) -> list[int]:
        return self.run(Release(leases, delay))

    def ask(self, *leases: Lease, running: int = 0, starts: int = 0, period_seconds: float = 0) -> list[int]:
        """Ask for permits; all jobs are of types with the same limits."""
        return self.run(
            Permit(
                [Asking(lease, TypeLimit(lease.type, running, starts, period_seconds)) for lease in leases]
            )
        )

    def renew(self, *leases: Lease, lease_seconds: float = 30) -> list[int]:
        return self.run(Renew(lease_seconds, [lease.handle for lease in leases]))

    def claimed(self, user: str, count: int = 1, **options: Any) -> list[Lease]:
        """Enqueue jobs and claim them."""
        self.enqueue(user, count, **options)
        return self.claim()

    def started(self, user: str, count: int = 1, **options: Any) -> list[Lease]:
        """Enqueue jobs, claim them, and start them."""
        leases = self.claimed(user, count, **options)
        assert self.start(*leases) == [1] * count
        return leases

    def lose(self, *leases: Lease, limits: WorkerLossLimits = WORKER_LOSS_LIMITS) -> list[LostJob]:
        """Let the leases run out, because their whole worker is lost, and expire them."""
        self.age(*leases)
        return self.run(Expire(losses=limits))

    def process_dies(self, *leases: Lease, max_losses: int = 3) -> list[LostJob]:
        """Let the lease keeper report that a process died in which these jobs ran."""
        return self.run(Lose("w1", leases, [1000] * len(leases), max_losses))

    def age(self, *leases: Lease) -> None:
        """Let leases run out; the next expire takes them."""
        assert self.client.zadd(self.keys.leases, {lease.handle: 1 for lease in leases}, xx=True, ch=True)

    def age_retry(self, job_id: str, due_ms: int = 1) -> None:
        assert self.client.zadd(self.keys.retries, {job_id: due_ms}, xx=True, ch=True) == 1

    # -- state --------------------------------------------------------------------------------------------------

    def key(self, rest: str) -> str:
        return self.keys.prefix + rest

    def lane(self, user: str) -> list[tuple[str, str]]:
        """Return (band, job id) in the order of the lane, and check each score."""
        return read_lane(self.client.zrange(self.key(f"lane:{user}"), 0, -1, withscores=True))

    def where(self, user: str, *job_ids: str) -> list[str | None]:
        """Return the bands that jobs are in; None for a job that is not in the lane."""
        places = {job_id: where for where, job_id in self.lane(user)}
        return [places.get(job_id) for job_id in job_ids]

    def ring(self) -> list[str]:
        return texts(self.client.zrange(self.keys.ring, 0, -1))

    def known_lanes(self) -> list[str]:
        return texts(self.client.zrange(self.keys.lanes, 0, -1))

    def leases(self) -> set[str]:
        return set(texts(self.client.zrange(self.keys.leases, 0, -1)))

    def retries(self) -> set[str]:
        return set(texts(self.client.zrange(self.keys.retries, 0, -1)))

    def delayed(self, user: str) -> list[str]:
        """Return the user's delayed jobs in order, and check that each is complete."""
        members = self.client.zrange(self.key(f"delayed:{user}"), 0, -1, withscores=True)
        for member, score in members:
            assert score == seq_of(member.decode())
            assert self.client.zscore(self.keys.delayed, f"{user}:{member.decode()}") == score
            assert self.client.exists(self.key(f"later:{member.decode()}"))
        return [member.decode() for member, _ in members]

    def done(self) -> list[str]:
        return texts(self.client.lrange(self.keys.outbox, 0, -1))

    def holder(self, user: str, unique_key: str) -> str | None:
        """Return the id that a unique key names, whether its job has ended or not."""
        job_id = self.client.get(self.key(f"unique:{user}:{unique_key}"))
        return None if job_id is None else job_id.decode()

    def cancels(self) -> set[str]:
        return set(texts(self.client.hkeys(self.key("cancels"))))

    def job(self, job_id: str) -> dict[str, str]:
        """Return everything that Redis holds of a job, by name; empty if it holds nothing."""
        spec, ended = self.client.mget(self.key(f"spec:{job_id}"), self.key(f"ended:{job_id}"))
        fields = texts_of(self.client.hgetall(self.key(f"job:{job_id}")))
        if spec is not None:
            assert ended is None or not fields, "a job that has ended needs no fields"
            fields = {"attempts": "0"} | fields | lines(spec, "user", "type", "max_attempts", "request")
            fields["type"], *names = fields["type"].split("\t")
            fields |= {"unique_key": names[-1]} if names and names[-1] else {}
        if ended is not None:
            fields |= lines(ended, *ENDED_LINES)
            fields[fields.pop("outcome")] = fields.pop("body", "")
            if "reason" in fields:
                fields["reason"] = json.loads(fields["reason"])
        if (losses := self.client.hget(self.key("losses"), job_id)) is not None:
            fields["losses"] = losses.decode()
        return fields

    def now_us(self) -> int:
        """Microseconds since 2020 by Redis's clock."""
        seconds, micros = self.client.time()
        return int((seconds - 1577836800) * 1_000_000 + micros)

    def check_all(self) -> Counter[str]:
        """Let a new checker come to the end of each of its walks. Return what it has mended."""
        checker, finished = Checker(self.lanes), set[str]()
        while len(finished) < 3:
            checker.check_slice()
            walks = {"shared": checker._rank, "lanes": checker._after_user, "keys": checker._cursor}
            finished |= {walk for walk, place in walks.items() if not place}
        return checker.mended

    def all_keys(self) -> set[str]:
        """Return every key behind the prefix, without the prefix."""
        return keys_behind(self.client, self.keys.prefix)

    def snapshot(self) -> dict[str, bytes]:
        """Return every key behind the prefix with its value. Two snapshots are equal if nothing has changed."""
        return {key: self.client.dump(self.key(key)) for key in self.all_keys() - {"clock"}}


def read_lane(members: Sequence[tuple[bytes, float]]) -> list[tuple[str, str]]:
    places = []
    for member, score in members:
        job_id = member.decode()
        band = int((score - seq_of(job_id)) // W)
        assert score == band * W + seq_of(job_id), f"{job_id} has score {score}"
        places.append((BANDS[band], job_id))
    return places


def keys_behind(client: redis.Redis, prefix: str) -> set[str]:
    found = client.scan_iter(match=prefix.replace("{", "\\{") + "*", count=2000)
    return {key.decode().removeprefix(prefix) for key in found}


def lines(text: bytes, *names: str) -> dict[str, str]:
    """Return the lines of a text by name, without the empty ones."""
    values = text.split(b"\n", len(names) - 1)
    return {name: value.decode() for name, value in zip(names, values, strict=True) if value}


def texts_of(fields: dict[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in fields.items()}


def texts(values: Sequence[bytes]) -> list[str]:
    return [value.decode() for value in values]
