"""How an ended job is written down: the documents of `history` and `dead_letters`.

`_id` is `<user>/<job id>`. Ids sort by acceptance, so one index finds a job, lists a user's jobs newest first and makes
storing idempotent: an ended job never changes, so an id that exists is stored already. Request, result and error are JSON
text as bytes and are never parsed here, and so is what the job has logged. Times are microseconds since 2020, which MongoDB's own dates cannot hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from laneway.lanes.model import ID_LENGTH, Job, JobState, time_of
from laneway.storage.failure import failure_of
from laneway.storage.mongo import Document

HISTORY, DEAD_LETTERS = "history", "dead_letters"
"""The collections: all ended jobs, and the failed ones until somebody retries or drops them."""
MAX_BODY_BYTES = 12_000_000
"""Largest payload of one job; a document may have 16 MB. A longer result is dropped, so that it blocks no other job."""
_TOO_LONG = b'{"type":"TooLong","message":"the result is too long to be kept"}'


class HistoryUnavailable(Exception):
    """MongoDB is away, refuses or answers too late. Raised from pymongo's error."""


def key_of(job: Job) -> str:
    """Return the `_id` of the job's document."""
    return f"{job.user}/{job.job_id}"


def job_id_of(document: Mapping[str, Any]) -> str:
    """Return the job id, the end of the document's `_id`."""
    return str(document["_id"])[-ID_LENGTH:]


def payload_bytes(document: Mapping[str, Any]) -> int:
    """Return the size of request, result, error and log together."""
    get = document.get
    return (
        len(document["request"])
        + len(get("result") or b"")
        + len(get("error") or b"")
        + len(get("log") or b"")
    )


def document_of(job: Job, *, days: int) -> Document:
    """Return the document of an ended job, which expires `days` after the job ended; 0 means never."""
    document: Document = {
        "_id": key_of(job),
        "user": job.user,
        "type": job.type,
        "request": job.request,
        "state": job.state,
        "attempts": job.attempts,
        "max_attempts": job.max_attempts,
        "finished_us": job.finished_us,
    }
    if job.result is not None:
        document["result"] = job.result
    if job.error is not None:
        document["error"] = job.error
    if job.reason is not None:
        document["reason"] = job.reason
    if job.unique_key is not None:
        document["unique_key"] = job.unique_key
    if job.schedule is not None:
        document["schedule"] = job.schedule
    if job.log is not None:
        document["log"] = job.log
    if job.started_us is not None:
        document["started_us"] = job.started_us
        if job.worker is not None:
            document["worker"] = job.worker
    if job.progress is not None:
        document["progress"] = job.progress
        if job.note is not None:
            document["note"] = job.note
    if payload_bytes(document) > MAX_BODY_BYTES:
        document["result"], document["error"] = None, _TOO_LONG
    if days:
        document["expires_at"] = _expiry((job.finished_us or job.enqueued_us) // 1_000_000, days)
    return document


@lru_cache(maxsize=8)
def _expiry(second: int, days: int) -> datetime:
    """Return when the document of a job expires. `second`: that in which the job ended, since 2020; thousands share one."""
    return time_of(second * 1_000_000) + timedelta(days=days)


def dead_letter_of(document: Document) -> Document:
    """Return the dead letter of a failed job's document: the same without its log, and the kind of its failure."""
    kept = {name: value for name, value in document.items() if name != "log"}
    return kept | {"failure": failure_of(document.get("error"))}


def job_of(document: Mapping[str, Any]) -> Job:
    """Return the job that `document_of` wrote down."""
    return Job(
        job_id=job_id_of(document),
        user=document["_id"][: -ID_LENGTH - 1],
        type=document["type"],
        request=document["request"],
        state=JobState(document["state"]),
        attempts=document["attempts"],
        max_attempts=document["max_attempts"],
        progress=document.get("progress"),
        note=document.get("note"),
        result=document.get("result"),
        error=document.get("error"),
        reason=document.get("reason"),
        worker=document.get("worker"),
        started_us=document.get("started_us"),
        finished_us=document.get("finished_us"),
        unique_key=document.get("unique_key"),
        schedule=document.get("schedule"),
    )
