"""Encodes and decodes jobs as Redis holds them: a few lines, then JSON that nobody parses here.

`spec` is what was accepted and never changes. `ended` says how the job ended. The scripts know the same lines (the catalogue
in `scripts/_keys.lua`).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import orjson

from laneway.lanes.model import HeldJob, Job, JobState, NewJob, seq_of

_STATES = {state.value.encode(): state for state in JobState}
LOST, LOST_TYPE = "lost", "unknown"
"""The reason of a job that Redis has lost, and the type of a job whose spec is lost, as in `scripts/_lost.lua`."""
LOST_ERROR = b'{"type":"Lost","message":"Redis has lost how the job ended"}'
MAX_HEAD_BYTES = 640
"""Bytes before the request: as many as the scripts read to know whose job it is."""


def encode_spec(user: str, job: NewJob) -> bytes:
    """Return a job's spec. Raises ValueError for names with a line feed or a tab, and for names that are too long."""
    names, tabs = job.type, 0
    if job.schedule:
        names, tabs = f"{names}\t{job.schedule}\t{job.unique_key}", 2
    elif job.unique_key:
        names, tabs = f"{names}\t{job.unique_key}", 1
    head = f"{user}\n{names}\n{job.max_attempts}\n".encode()
    if head.count(b"\n") != 3 or head.count(b"\t") != tabs:
        raise ValueError(
            "the names of a user, a type and a schedule, and a unique key, cannot contain a line feed or a tab"
        )
    if len(head) > MAX_HEAD_BYTES:
        raise ValueError(
            "the names of a user, a type and a schedule, and a unique key, have at most "
            f"{MAX_HEAD_BYTES - 20} bytes together"
        )
    return head + job.request


class JobSpec(msgspec.Struct, frozen=True, gc=False):
    """What was accepted."""

    user: str
    type: str
    max_attempts: int
    request: bytes
    unique_key: str | None = None
    schedule: str | None = None


_LOST_SPEC = JobSpec("", LOST_TYPE, 0, b"null")


def decode_spec(spec: bytes) -> JobSpec:
    """Return what a spec says. Raises ValueError if it is unreadable."""
    user, type_, max_attempts, request = spec.split(b"\n", 3)
    unique_key = schedule = None
    if b"\t" in type_:
        type_, *names = type_.split(b"\t")
        unique_key = names[-1].decode() or None
        schedule = names[0].decode() if len(names) > 1 else None
    return JobSpec(user.decode(), type_.decode(), int(max_attempts), request, unique_key, schedule)


def _decode_spec_or_lost(spec: bytes | None) -> JobSpec:
    """Return what `decode_spec` does. A lost or unreadable spec costs the job its user's name, its type and its request."""
    try:
        return decode_spec(spec or b"")
    except ValueError:
        return _LOST_SPEC


def decode_ended_job(job_id: str, spec: bytes | None, ended: bytes | None) -> Job:
    """Return an ended job. Every job passes here on its way to MongoDB.

    A lost or unreadable spec costs the job its type and its request. A lost or unreadable end makes it failed, as `lost`.
    """
    accepted = _decode_spec_or_lost(spec)
    try:
        lines = (ended or b"").split(b"\n", 10)
        state, attempts, finished, started, worker, outcome, reason, progress, note, owner, body = lines
        is_result = outcome == b"result"
        owner, _, log = owner.partition(b"\t")
        return Job(
            job_id,
            accepted.user or owner.decode(),
            accepted.type,
            accepted.request,
            _STATES[state],
            int(attempts),
            accepted.max_attempts,
            None,
            float(progress) if progress else None,
            orjson.loads(note) if note else None,
            body if is_result else None,
            None if is_result or not body else body,
            orjson.loads(reason) if reason else None,
            worker.decode("utf-8", "replace") if worker else None,
            int(started) if started else None,
            int(finished),
            log=log or None,
            unique_key=accepted.unique_key,
            schedule=accepted.schedule,
        )
    except (ValueError, KeyError):
        return Job(
            job_id,
            accepted.user,
            accepted.type,
            accepted.request,
            JobState.FAILED,
            0,
            accepted.max_attempts,
            error=LOST_ERROR,
            reason=LOST,
            finished_us=seq_of(job_id),
            unique_key=accepted.unique_key,
            schedule=accepted.schedule,
        )


def decode_job(
    job_id: str,
    spec: bytes | None,
    ended: bytes | None,
    flat: Sequence[bytes],
    position: int | None = None,
    *,
    is_delayed: bool = False,
) -> Job:
    """Return a job in any state. `flat`: the fields and values of its hash, empty before its first start and after its end.

    A job whose spec is lost is shown without its type and its request until the checker has found it.
    """
    if ended is not None:
        return decode_ended_job(job_id, spec, ended)
    accepted = _decode_spec_or_lost(spec)
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    return Job(
        job_id=job_id,
        user=accepted.user,
        type=accepted.type,
        request=accepted.request,
        state=_STATES[fields.get(b"state", b"queued")],
        attempts=int(fields.get(b"attempts", 0)),
        max_attempts=accepted.max_attempts,
        position=position,
        progress=float(fields[b"progress"]) if b"progress" in fields else None,
        note=fields[b"note"].decode() if b"note" in fields else None,
        error=fields.get(b"error"),
        worker=fields[b"worker"].decode("utf-8", "replace") if b"worker" in fields else None,
        started_us=int(fields[b"started_us"]) if b"started_us" in fields else None,
        is_delayed=is_delayed,
        unique_key=accepted.unique_key,
        schedule=accepted.schedule,
    )


def decode_held_job(job_id: str, user: bytes, type_: bytes, fields: Sequence[bytes | None]) -> HeldJob:
    """Return a leased job. `user` and `type_` are empty if its spec is lost; `fields`: state, attempts, start and worker.

    A job that waits to be started again has the start and the worker of an earlier attempt, which are left out.
    """
    state, attempts, started_us, worker = fields
    runs = state == JobState.RUNNING.encode()
    return HeldJob(
        job_id,
        user.decode("utf-8", "replace"),
        type_.decode("utf-8", "replace") or LOST_TYPE,
        int(attempts or 0) + (not runs),
        worker.decode("utf-8", "replace") if runs and worker else None,
        int(started_us) if runs and started_us else None,
    )
