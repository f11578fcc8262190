"""A client of the API that records the answers it gets.

It sends a request with an idempotency key again until the answer is clear, as a careful program does, and a request without a key
once. An answer that leaves open whether the request was accepted (a 5xx, a broken connection) is recorded as ambiguous.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx

from chaos.clients.service import Service
from chaos.records import Accepted, Ambiguous, Cancelled, Record, write_record

PASSWORD = "correct horse battery"
ANSWER_SECONDS = 5.0
RETRY_SECONDS = 0.25
MAX_LATE_RETRIES = 40

Request = tuple[str, dict[str, Any]]
"""Type and payload."""


@dataclass(slots=True)
class AnswerStats:
    """The answers to all clients of a process, in numbers. A status is an HTTP code or the name of an error."""

    accepted: int = 0
    ambiguous: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    slowest_seconds: dict[str, float] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)

    def add(self, status: str, seconds: float) -> None:
        """Count one answer."""
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.slowest_seconds[status] = max(seconds, self.slowest_seconds.get(status, 0))


@dataclass(frozen=True, slots=True)
class _Sending:
    """Requests that travel together, with their tags and the idempotency key. `sent_ns` is that of the latest try."""

    requests: list[Request]
    tags: list[str]
    key: str | None
    sent_ns: int = 0

    @property
    def path(self) -> str:
        return "enqueue" if len(self.requests) == 1 else "enqueue/batch"

    def body(self) -> dict[str, Any]:
        pairs = zip(self.requests, self.tags, strict=True)
        bodies = [{"type": type_, "request": {**payload, "tag": tag}} for (type_, payload), tag in pairs]
        return bodies[0] if len(bodies) == 1 else {"requests": bodies}

    def key_of(self, index: int) -> str | None:
        return self.key and f"{self.key}-{index}"


class Client:
    """One user. Requests go to the APIs that `service` considers ready, one after another."""

    def __init__(
        self,
        name: str,
        service: Service,
        http: httpx.AsyncClient,
        records: Path,
        stats: AnswerStats,
        random: Random,
    ) -> None:
        self.name, self.service, self.http, self.stats, self.random = name, service, http, stats, random
        self._records, self._request_number = records, 0
        self.token = ""
        self.recent: list[str] = []
        """Ids of the jobs that were accepted last."""

    async def sign_up(self) -> None:
        """Register and log in. Raises httpx.HTTPStatusError."""
        body = {"username": self.name, "password": PASSWORD}
        for path in ("register", "login"):
            answer = await self.http.post(f"{self.service.url()}/api/{path}", json=body, timeout=30)
            self.token = answer.raise_for_status().json().get("token", "")

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every request."""
        return {"Authorization": f"Bearer {self.token}"}

    async def send(
        self, requests: list[Request], *, keyed: bool, stopping: asyncio.Event | None = None
    ) -> list[str]:
        """Enqueue requests, several of them as a batch, and return the ids of their jobs.

        Returns none if a request without a key had no clear answer, if the API refused, or if the answers stay unclear long
        after `stopping` was set.
        """
        key = secrets.token_hex(12) if keyed else None
        sending = _Sending(requests, [self._new_tag() for _ in requests], key)
        late_tries = 0
        while True:
            sending = _Sending(requests, sending.tags, key, time.monotonic_ns())
            ids, clear = await self._try(sending)
            if ids:
                self._record_accepted(sending, ids)
                return ids
            if not clear:
                self._record_ambiguous(sending)
            late_tries += stopping is not None and stopping.is_set()
            if (not clear and not keyed) or late_tries > MAX_LATE_RETRIES:
                return []
            await asyncio.sleep(RETRY_SECONDS)

    async def cancel(self, job_id: str) -> None:
        """Ask once to cancel a job. From then on it may end as cancelled."""
        self._write(Cancelled(self.name, job_id))
        try:
            await self.http.delete(f"{self.service.url()}/api/jobs/{job_id}", headers=self.headers)
        except httpx.HTTPError:
            return

    def _new_tag(self) -> str:
        """Return a text that no other request has."""
        self._request_number += 1
        return f"{self.name}-{self._request_number}-{secrets.token_hex(4)}"

    async def _try(self, sending: _Sending) -> tuple[list[str], bool]:
        """Return the ids if the requests were accepted, and whether it is clear that they were or were not."""
        headers = self.headers | ({"Idempotency-Key": sending.key} if sending.key else {})
        url, begun = f"{self.service.url()}/api/{sending.path}", time.monotonic()
        try:
            answer = await self.http.post(url, json=sending.body(), headers=headers)
        except httpx.HTTPError as error:
            self.stats.add(type(error).__name__, time.monotonic() - begun)
            return [], isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
        self.stats.add(str(answer.status_code), time.monotonic() - begun)
        if answer.status_code == 200:
            found = answer.json()
            return found.get("job_ids") or [found["job_id"]], True
        if answer.status_code not in (429, 503):
            self.stats.unexpected.append(f"{answer.status_code} {answer.text[:200]}")
        return [], answer.status_code < 500

    def _record_accepted(self, sending: _Sending, ids: list[str]) -> None:
        answered_ns = time.monotonic_ns()
        self.stats.accepted += len(ids)
        for index, (job_id, tag, (type_, _)) in enumerate(
            zip(ids, sending.tags, sending.requests, strict=True)
        ):
            key = sending.key_of(index)
            self._write(
                Accepted(job_id, self.name, self.name, index, sending.sent_ns, answered_ns, tag, key, type_)
            )
        self.recent = [*self.recent[-20:], *ids]

    def _record_ambiguous(self, sending: _Sending) -> None:
        self.stats.ambiguous += len(sending.tags)
        for index, (tag, (type_, _)) in enumerate(zip(sending.tags, sending.requests, strict=True)):
            self._write(Ambiguous(self.name, self.name, sending.sent_ns, tag, sending.key_of(index), type_))

    def _write(self, record: Record) -> None:
        write_record(self._records, f"client-{self.name}", record)


def http_client() -> httpx.AsyncClient:
    """Return the HTTP client that all clients of a process share."""
    return httpx.AsyncClient(
        timeout=ANSWER_SECONDS, limits=httpx.Limits(max_connections=200, max_keepalive_connections=100)
    )
