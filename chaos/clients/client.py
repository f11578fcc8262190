"""Clients of the API that record what they were told.

A request with an idempotency key is sent again until its answer is clear, as a careful client does; one without a key is
sent once. An answer that leaves open whether the request was accepted (a 5xx, a broken connection) is recorded as ambiguous.
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
from chaos.records import Accepted, Ambiguous, Cancelled, note

PASSWORD = "correct horse battery"
ANSWER_SECONDS = 5.0
AGAIN_SECONDS = 0.25


@dataclass(slots=True)
class Told:
    """What one process's clients were told, in numbers. Seconds."""

    accepted: int = 0
    ambiguous: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    slowest: dict[str, float] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)

    def answered(self, status: str, seconds: float) -> None:
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.slowest[status] = max(seconds, self.slowest.get(status, 0))


class Client:
    """One user. Its requests go through `service`, one after another."""

    def __init__(
        self, name: str, service: Service, http: httpx.AsyncClient, records: Path, told: Told, random: Random
    ) -> None:
        self.name, self.service, self.http, self.told, self.random = name, service, http, told, random
        self._records, self._file, self._number = records, f"client-{name}", 0
        self.token = ""
        self.recent: list[str] = []

    async def sign_up(self) -> None:
        """Register and log in. Raises httpx.HTTPStatusError."""
        body = {"username": self.name, "password": PASSWORD}
        for path in ("register", "login"):
            answer = await self.http.post(f"{self.service.url()}/api/{path}", json=body, timeout=30)
            self.token = answer.raise_for_status().json().get("token", "")

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def tag(self) -> str:
        """A text that no other request has."""
        self._number += 1
        return f"{self.name}-{self._number}-{secrets.token_hex(4)}"

    async def send(
        self, requests: list[tuple[str, dict[str, Any]]], *, keyed: bool, until: asyncio.Event | None = None
    ) -> list[str]:
        """Enqueue (type, payload) pairs, several as a batch; the ids, or none if it stayed unclear or was refused. Stops to repeat
        when `until` has been set for a while."""
        tags = [self.tag() for _ in requests]
        bodies = [
            {"type": type_, "request": {**payload, "tag": tag}}
            for (type_, payload), tag in zip(requests, tags, strict=True)
        ]
        key = secrets.token_hex(12) if keyed else None
        late = 0
        while True:
            sent_ns = time.monotonic_ns()
            ids, clear = await self._send_once(bodies, key)
            if ids:
                self._accepted(ids, tags, requests, key, sent_ns)
                return ids
            if not clear:
                self._ambiguous(tags, requests, key, sent_ns)
            late += until is not None and until.is_set()
            if (not clear and not keyed) or late > 40:
                return []
            await asyncio.sleep(AGAIN_SECONDS)

    async def _send_once(self, bodies: list[dict[str, Any]], key: str | None) -> tuple[list[str], bool]:
        """Ids if accepted; and whether it is clear that it was or was not."""
        headers = self.headers | ({"Idempotency-Key": key} if key else {})
        single = len(bodies) == 1
        path, body = ("enqueue", bodies[0]) if single else ("enqueue/batch", {"requests": bodies})
        begun = time.monotonic()
        try:
            answer = await self.http.post(f"{self.service.url()}/api/{path}", json=body, headers=headers)
        except httpx.HTTPError as error:
            self.told.answered(type(error).__name__, time.monotonic() - begun)
            return [], isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
        self.told.answered(str(answer.status_code), time.monotonic() - begun)
        if answer.status_code == 200:
            found = answer.json()
            return [found["job_id"]] if single else found["job_ids"], True
        if answer.status_code not in (429, 503):
            self.told.unexpected.append(f"{answer.status_code} {answer.text[:200]}")
        return [], answer.status_code < 500

    def _accepted(
        self,
        ids: list[str],
        tags: list[str],
        requests: list[tuple[str, dict[str, Any]]],
        key: str | None,
        sent_ns: int,
    ) -> None:
        answered_ns = time.monotonic_ns()
        self.told.accepted += len(ids)
        for order, (job_id, tag, (type_, _)) in enumerate(zip(ids, tags, requests, strict=True)):
            record = Accepted(
                job_id,
                self.name,
                self.name,
                order,
                sent_ns,
                answered_ns,
                tag,
                key and f"{key}-{order}",
                type_,
            )
            note(self._records, self._file, record)
        self.recent = [*self.recent[-20:], *ids]

    def _ambiguous(
        self, tags: list[str], requests: list[tuple[str, dict[str, Any]]], key: str | None, sent_ns: int
    ) -> None:
        self.told.ambiguous += len(tags)
        for order, (tag, (type_, _)) in enumerate(zip(tags, requests, strict=True)):
            record = Ambiguous(self.name, self.name, sent_ns, tag, key and f"{key}-{order}", type_)
            note(self._records, self._file, record)

    async def cancel(self, job_id: str) -> None:
        """Ask to cancel, once. From then on the job may end so."""
        note(self._records, self._file, Cancelled(self.name, job_id))
        try:
            await self.http.delete(f"{self.service.url()}/api/jobs/{job_id}", headers=self.headers)
        except httpx.HTTPError:
            return


def http_client() -> httpx.AsyncClient:
    """For all clients of a process."""
    return httpx.AsyncClient(
        timeout=ANSWER_SECONDS, limits=httpx.Limits(max_connections=200, max_keepalive_connections=100)
    )
