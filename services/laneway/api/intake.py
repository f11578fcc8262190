"""Turns the bodies of `POST /api/enqueue` and `/api/enqueue/batch` into jobs.

There are no models on this path: a payload is parsed once, and kept as JSON text.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from laneway.api import body as bodies
from laneway.api.problem import Problem, bad_request
from laneway.handlers import Spec
from laneway.lanes.model import NewJob

DEFAULT_TYPE = "echo"
ENVELOPE_BYTES = 4096
"""What a body may have beside its payload: names, blanks, the type."""
BATCH_BODIES = 16
"""A batch may be as large as this many of the largest requests: one script call carries it to Redis."""
_KEY = re.compile(rb"[\x21-\x7e]{1,255}")
_ONE, _MANY = {"request", "type"}, {"requests"}


class Intake:
    """Makes jobs for the handlers in `types`. Every method raises Problem, which points at the mistake."""

    def __init__(self, types: Mapping[str, Spec], *, request_max_bytes: int, batch_max: int) -> None:
        self._types = types
        self._request_max_bytes = request_max_bytes
        self._batch_max = batch_max
        self.body_bytes = request_max_bytes + ENVELOPE_BYTES
        self.batch_bytes = BATCH_BODIES * request_max_bytes + ENVELOPE_BYTES

    def one(self, body: bytes) -> NewJob:
        """Return the job in the body of `POST /api/enqueue`."""
        return self._job(bodies.loads(body), "#/body")

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
        return [self._job(request, f"#/body/requests/{i}") for i, request in enumerate(requests)]

    def again(self, type_: str, request: bytes) -> NewJob:
        """Return a new job for a payload that was accepted before; its type may have lost its handler since."""
        return NewJob(_nonce(), type_, request, self._spec(type_, "#/path").max_attempts)

    def _job(self, value: Any, pointer: str) -> NewJob:
        if not isinstance(value, dict) or "request" not in value:
            raise bad_request('send {"request": any JSON, "type": the handler}', pointer)
        type_ = value.get("type", DEFAULT_TYPE)
        spec = self._spec(type_, pointer)
        if len(value) > 2 or not value.keys() <= _ONE:
            raise bad_request(f"unknown field {_first(value.keys() - _ONE)}", pointer)
        request = bodies.dumps(value["request"])
        if len(request) > self._request_max_bytes:
            raise bodies.too_large(self._request_max_bytes)
        return NewJob(_nonce(), type_, request, spec.max_attempts)

    def _spec(self, type_: Any, pointer: str) -> Spec:
        spec = self._types.get(type_) if isinstance(type_, str) else None
        if spec is None:
            known = "known types: " + ", ".join(sorted(self._types))
            errors = [{"pointer": f"{pointer}/type", "detail": "unknown type"}]
            raise Problem(400, "unknown-type", known, errors=errors)
        return spec


def idempotency_key(value: bytes) -> str:
    """Return the key in an Idempotency-Key header. Raises Problem."""
    if not _KEY.fullmatch(value):
        raise bad_request("an Idempotency-Key has 1 to 255 visible ASCII characters")
    return value.decode("ascii")


def fingerprint(jobs: Iterable[NewJob]) -> str:
    """Return a digest of what is asked for: equal for equal types and payloads."""
    digest = hashlib.blake2b(digest_size=16)
    for job in jobs:
        digest.update(b"%b\0%b\0" % (job.type.encode(), job.request))
    return digest.hexdigest()


def _nonce() -> str:
    return os.urandom(6).hex()


def _first(names: Iterable[str]) -> str:
    return repr(min(names)[:64])
