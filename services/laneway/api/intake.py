"""Turns bodies of `POST /api/enqueue` and `/api/enqueue/batch` into jobs. No models: a payload is parsed once and kept as JSON text."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from laneway.api import body as bodies
from laneway.api.errors import Problem
from laneway.handlers import Spec
from laneway.lanes.model import NewJob

DEFAULT_TYPE = "echo"
ENVELOPE_BYTES = 4096
"""What a body may have beyond its payload: names, blanks, the type."""
BATCH_BODIES = 16
"""A batch may have as many bytes as so many of the largest requests: one script call carries it to Redis."""
_KEY = re.compile(rb"[\x21-\x7e]{1,255}")
_ONE, _MANY = {"request", "type"}, {"requests"}


class Intake:
    """`types`: those that have a handler."""

    def __init__(self, types: Mapping[str, Spec], *, request_max_bytes: int, batch_max: int) -> None:
        self._types = types
        self._request_max_bytes = request_max_bytes
        self._batch_max = batch_max
        self.body_bytes = request_max_bytes + ENVELOPE_BYTES
        self.batch_bytes = BATCH_BODIES * request_max_bytes + ENVELOPE_BYTES

    def one(self, body: bytes) -> NewJob:
        """Raises Problem."""
        return self._job(bodies.loads(body), "#/body")

    def many(self, body: bytes) -> list[NewJob]:
        """Raises Problem, which names the first request that is wrong."""
        value = bodies.loads(body)
        if not isinstance(value, dict) or not isinstance(value.get("requests"), list):
            raise _wrong("#/body", 'the body must be {"requests": [{"request": ..., "type": ...}]}')
        if not value.keys() <= _MANY:
            raise _wrong("#/body", f"unknown field {_first(value.keys() - _MANY)}")
        requests = value["requests"]
        if not 1 <= len(requests) <= self._batch_max:
            raise _wrong(
                "#/body/requests", f"a batch has 1 to {self._batch_max} requests, not {len(requests)}"
            )
        return [self._job(request, f"#/body/requests/{i}") for i, request in enumerate(requests)]

    def again(self, type_: str, request: bytes) -> NewJob:
        """A job like one that was accepted before. Raises Problem if its type has no handler any more."""
        return NewJob(_nonce(), type_, request, self._spec(type_, "#/path").max_attempts)

    def _job(self, value: Any, pointer: str) -> NewJob:
        if not isinstance(value, dict) or "request" not in value:
            raise _wrong(pointer, 'it must be {"request": any JSON, "type": the handler}')
        type_ = value.get("type", DEFAULT_TYPE)
        spec = self._spec(type_, pointer)
        if len(value) > 2 or not value.keys() <= _ONE:
            raise _wrong(pointer, f"unknown field {_first(value.keys() - _ONE)}")
        request = bodies.dumps(value["request"])
        if len(request) > self._request_max_bytes:
            raise bodies.too_large(self._request_max_bytes)
        return NewJob(_nonce(), type_, request, spec.max_attempts)

    def _spec(self, type_: Any, pointer: str) -> Spec:
        spec = self._types.get(type_) if isinstance(type_, str) else None
        if spec is None:
            known = "known types: " + ", ".join(sorted(self._types))
            raise Problem(
                400, "unknown-type", known, errors=[{"pointer": f"{pointer}/type", "detail": "unknown type"}]
            )
        return spec


def idempotency_key(value: bytes) -> str:
    """Raises Problem."""
    if not _KEY.fullmatch(value):
        raise Problem(400, "bad-request", "an Idempotency-Key has 1 to 255 visible ASCII characters")
    return value.decode("ascii")


def fingerprint(jobs: Iterable[NewJob]) -> str:
    """Of what is asked for: the same for the same types and payloads."""
    digest = hashlib.blake2b(digest_size=16)
    for job in jobs:
        digest.update(b"%b\0%b\0" % (job.type.encode(), job.request))
    return digest.hexdigest()


def _nonce() -> str:
    return os.urandom(6).hex()


def _wrong(pointer: str, detail: str) -> Problem:
    return Problem(
        400, "bad-request", f"{pointer}: {detail}", errors=[{"pointer": pointer, "detail": detail}]
    )


def _first(names: Iterable[str]) -> str:
    return repr(min(names)[:64])
