"""Turns the bodies of `POST /api/enqueue` and `/api/enqueue/batch` into jobs.

A payload is parsed to be checked, against the schema of its type if there is one, and stored as the text that came: no number is
rounded and no member moved.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import orjson

from laneway.api import body as bodies
from laneway.api.delays import DELAY_FIELDS, NO_DELAY, Delay, delay_of
from laneway.api.problem import Problem, bad_request
from laneway.api.unique_keys import unique_key_of
from laneway.handlers import Spec
from laneway.handlers.errors import Fault, InvalidPayload
from laneway.handlers.schemas import MAX_FAULTS, PayloadSchema
from laneway.lanes.model import NewJob

DEFAULT_TYPE = "echo"
ENVELOPE_BYTES = 4096
"""What a body may have beside its payload: names, blanks, the type."""
BATCH_BODIES = 16
"""A batch may be as large as this many of the largest requests: one script call carries it to Redis."""
_KEY = re.compile(rb"[\x21-\x7e]{1,255}")
_ONE, _MANY = {"request", "type", "unique_key", *DELAY_FIELDS}, {"requests"}


class _Request(msgspec.Struct):
    request: msgspec.Raw


class _Batch(msgspec.Struct):
    requests: list[_Request]


_read_one, _read_many = msgspec.json.Decoder(_Request).decode, msgspec.json.Decoder(_Batch).decode
"""Find the payloads' text in a body that has been checked."""


class Intake:
    """Makes jobs for the handlers in `types`. Every method raises Problem, which points at the mistake."""

    def __init__(self, types: Mapping[str, Spec], *, request_max_bytes: int, batch_max: int) -> None:
        self._types = types
        self._request_max_bytes = request_max_bytes
        self._batch_max = batch_max
        self.body_bytes = request_max_bytes + ENVELOPE_BYTES
        self.batch_bytes = BATCH_BODIES * request_max_bytes + ENVELOPE_BYTES

    def knows(self, type_: str) -> bool:
        """Return whether the type has a handler here."""
        return type_ in self._types

    def one(self, body: bytes) -> NewJob:
        """Return the job in the body of `POST /api/enqueue`."""
        spec, delay, unique_key = self._check(bodies.loads(body), "#/body")
        return self._one(spec, body, delay, unique_key)

    def scheduled(self, body: bytes, type_: str, unique_key: str) -> NewJob:
        """Return the job in the body of a schedule, which has been parsed and has other fields beside `request`."""
        return self._one(self._spec(type_, "#/body"), body, NO_DELAY, unique_key)

    def many(self, body: bytes) -> list[NewJob]:
        """Return the jobs in the body of `POST /api/enqueue/batch`, in order."""
        value = bodies.loads(body)
        if not isinstance(value, dict) or not isinstance(value.get("requests"), list):
            raise bad_request('send {"requests": [{"request": ..., "type": ...}]}', "#/body")
        if not value.keys() <= _MANY:
            raise bad_request(f"unknown field {_first(value.keys() - _MANY)}", "#/body")
        requests = value["requests"]
        if not 1 <= len(requests) <= self._batch_max:
            detail = f"send 1 to {self._batch_max} requests, not {len(requests)}"
            raise bad_request(detail, "#/body/requests")
        checked = [self._check(request, f"#/body/requests/{i}") for i, request in enumerate(requests)]
        texts = (bytes(item.request) for item in _read_many(body).requests)
        jobs = [
            self._new(spec, text, delay, unique_key)
            for (spec, delay, unique_key), text in zip(checked, texts, strict=True)
        ]
        faults: list[Fault] = []
        for i, ((spec, _, _), job) in enumerate(zip(checked, jobs, strict=True)):
            if spec.takes is not None and len(faults) < MAX_FAULTS:
                faults += _faults(spec.takes, job, f"#/body/requests/{i}")
        if faults:
            raise _invalid_payload(faults)
        return jobs

    def again(self, type_: str, request: bytes, unique_key: str | None, schedule: str = "") -> NewJob:
        """Return a new job for a payload that was accepted before. Its type may have changed or lost its handler since."""
        spec = self._spec(type_, "#/path")
        job = NewJob(
            _nonce(), type_, request, spec.max_attempts, unique_key=unique_key or "", schedule=schedule
        )
        if spec.takes is not None and (faults := _faults(spec.takes, job, "#")):
            raise _invalid_payload(faults)
        return job

    def _one(self, spec: Spec, body: bytes, delay: Delay, unique_key: str) -> NewJob:
        job = self._new(spec, bytes(_read_one(body).request), delay, unique_key)
        if spec.takes is not None and (faults := _faults(spec.takes, job, "#/body")):
            raise _invalid_payload(faults)
        return job

    def _check(self, value: Any, pointer: str) -> tuple[Spec, Delay, str]:
        """Return the type, the delay and the unique key ('' for none) of a request whose envelope is as it should be."""
        if not isinstance(value, dict) or "request" not in value:
            raise bad_request('send {"request": any JSON, "type": the handler}', pointer)
        type_ = value.get("type", DEFAULT_TYPE)
        spec = self._spec(type_, pointer)
        if not value.keys() <= _ONE:
            raise bad_request(f"unknown field {_first(value.keys() - _ONE)}", pointer)
        delay = NO_DELAY if DELAY_FIELDS.isdisjoint(value) else delay_of(value, pointer)
        if "unique_key" not in value:
            return spec, delay, ""
        return spec, delay, unique_key_of(value["unique_key"], f"{pointer}/unique_key")

    def _new(self, spec: Spec, request: bytes, delay: Delay, unique_key: str) -> NewJob:
        if len(request) > self._request_max_bytes:
            raise bodies.too_large(self._request_max_bytes)
        return NewJob(_nonce(), spec.type, request, spec.max_attempts, *delay, unique_key)

    def _spec(self, type_: Any, pointer: str) -> Spec:
        spec = self._types.get(type_) if isinstance(type_, str) else None
        if spec is None:
            known = "known types: " + ", ".join(sorted(self._types))
            errors = [{"pointer": f"{pointer}/type", "detail": "unknown type"}]
            raise Problem(400, "unknown-type", known, errors=errors)
        return spec


def _faults(schema: PayloadSchema, job: NewJob, pointer: str) -> list[Fault]:
    """Return what is wrong with the payload of a request that stands at `pointer`."""
    try:
        schema.read(job.request)
    except InvalidPayload as error:
        return [Fault(pointer + fault.pointer.removeprefix("#"), fault.detail) for fault in error.faults]
    return []


def _invalid_payload(faults: Sequence[Fault]) -> Problem:
    detail = "; ".join(f"{pointer}: {sentence}" for pointer, sentence in faults[:3])
    return Problem(400, "invalid-payload", detail, errors=[fault._asdict() for fault in faults[:MAX_FAULTS]])


def idempotency_key(value: bytes) -> str:
    """Return the key in an Idempotency-Key header. Raises Problem."""
    if not _KEY.fullmatch(value):
        raise bad_request("an Idempotency-Key has 1 to 255 visible ASCII characters")
    return value.decode("ascii")


def fingerprint(jobs: Iterable[NewJob]) -> str:
    """Return a digest of what is asked for.

    It is equal for equal types and payloads, whatever the order of an object's members and the blanks between them. Numbers
    count as they are written: 1.50 is not 1.5. A delay and a unique key are a part of it.
    """
    digest = hashlib.blake2b(digest_size=16)
    for job in jobs:
        payload = json.loads(job.request, parse_float=_as_written)
        digest.update(b"%b\0%b\0" % (job.type.encode(), orjson.dumps(payload, option=orjson.OPT_SORT_KEYS)))
        if job.delay_seconds or job.not_before_us:
            digest.update(b"%d %d\0" % (round(job.delay_seconds * 1_000_000), job.not_before_us))
        if job.unique_key:
            digest.update(b"unique %b\0" % job.unique_key.encode())
    return digest.hexdigest()


def _as_written(number: str) -> str:
    return f"\0{number}"


def _nonce() -> str:
    return os.urandom(6).hex()


def _first(names: Iterable[str]) -> str:
    return repr(min(names)[:64])
