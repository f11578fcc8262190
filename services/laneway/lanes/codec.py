"""A job as text in Redis: lines, then JSON that nobody parses here. `spec` never changes from acceptance on, `ended` says how it ended.

The scripts know the same lines (the catalogue in `scripts/_lane.lua`).
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from laneway.lanes.model import Job, JobState, NewJob

_STATES = {state.value.encode(): state for state in JobState}


MAX_HEAD_BYTES = 512
"""Bytes before the request: as much as the scripts read to know whose a job is."""


def encode_spec(user: str, job: NewJob) -> bytes:
    """Raises ValueError for a user or a type with a line feed in it, and for names that are too long."""
    head = f"{user}\n{job.type}\n{job.max_attempts}\n".encode()
    if head.count(b"\n") != 3:
        raise ValueError("the name of a user or of a type cannot have a line feed")
    if len(head) > MAX_HEAD_BYTES:
        raise ValueError(
            f"the names of a user and of a type have {MAX_HEAD_BYTES - 20} bytes together at most"
        )
    return head + job.request


def decode_spec(spec: bytes) -> tuple[str, str, int, bytes]:
    """User, type, most attempts, request."""
    user, type_, most, request = spec.split(b"\n", 3)
    return user.decode(), type_.decode(), int(most), request


def decode_ended_job(job_id: str, spec: bytes, ended: bytes) -> Job:
    """Every job comes by here on its way to MongoDB."""
    user, type_, most, request = decode_spec(spec)
    state, attempts, finished, started, worker, outcome, reason, progress, note, body = ended.split(b"\n", 9)
    is_result = outcome == b"result"
    return Job(
        job_id,
        user,
        type_,
        request,
        _STATES[state],
        int(attempts),
        most,
        None,
        float(progress) if progress else None,
        orjson.loads(note) if note else None,
        body if is_result else None,
        None if is_result or not body else body,
        orjson.loads(reason) if reason else None,
        worker.decode("utf-8", "replace") if worker else None,
        int(started) if started else None,
        int(finished),
    )


def decode_job(
    job_id: str, spec: bytes, ended: bytes | None, flat: Sequence[bytes], position: int | None = None
) -> Job:
    """`flat`: fields and values of what is known of a job that has not ended."""
    if ended is not None:
        return decode_ended_job(job_id, spec, ended)
    user, type_, most, request = decode_spec(spec)
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    return Job(
        job_id=job_id,
        user=user,
        type=type_,
        request=request,
        state=_STATES[fields.get(b"state", b"queued")],
        attempts=int(fields.get(b"attempts", 0)),
        max_attempts=most,
        position=position,
        progress=float(fields[b"progress"]) if b"progress" in fields else None,
        note=fields[b"note"].decode() if b"note" in fields else None,
        error=fields.get(b"error"),
        worker=fields[b"worker"].decode("utf-8", "replace") if b"worker" in fields else None,
        started_us=int(fields[b"started_us"]) if b"started_us" in fields else None,
    )
