"""Users whose requests the fault engine sends itself, one at a time, and may wait for: those that misbehave."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import threading
import time
from typing import Any

import httpx

from chaos.clients.tokens import authorization
from chaos.records import Accepted, Ambiguous, write_record
from chaos.system.programs import wait_for
from chaos.system.system import System

SEND_SECONDS = 90.0
END_SECONDS = 90.0
RETRY_SECONDS = 0.1
_END_STATES = ("succeeded", "failed", "cancelled")


class SingleRequests:
    """Sends requests as one of a few users of its own. The users take turns, so that one blocked lane does not delay the next
    request."""

    def __init__(self, system: System, name: str = "trouble", users: int = 3) -> None:
        self.users = [f"{name}{number:02d}" for number in range(users)]
        self._system = system
        self._headers = {user: authorization(system.secret, user) for user in self.users}
        self._next_user = itertools.cycle(self.users)
        self._http = httpx.Client(timeout=5)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, type_: str, payload: dict[str, Any]) -> tuple[str, str]:
        """Enqueue a request and return user and job id. It is sent again with its key until it is accepted; raises
        AssertionError when that takes too long."""
        user, tag, key = next(self._next_user), secrets.token_hex(8), secrets.token_hex(12)
        body = {"type": type_, "request": {**payload, "tag": tag}}
        headers = {**self._headers[user], "Idempotency-Key": key}
        deadline, urls = time.monotonic() + SEND_SECONDS, itertools.cycle(self._system.urls)
        while time.monotonic() < deadline:
            sent_ns = time.monotonic_ns()
            with contextlib.suppress(httpx.HTTPError):
                answer = self._http.post(f"{next(urls)}/api/enqueue", json=body, headers=headers)
                if answer.status_code == 200:
                    job_id = str(answer.json()["job_id"])
                    accepted = Accepted(job_id, user, user, 0, sent_ns, time.monotonic_ns(), tag, key, type_)
                    write_record(self._system.records, "single", accepted)
                    return user, job_id
            write_record(self._system.records, "single", Ambiguous(user, user, sent_ns, tag, key, type_))
            threading.Event().wait(RETRY_SECONDS)
        raise AssertionError(f"a request was not accepted within {SEND_SECONDS} s")

    def state(self, user: str, job_id: str) -> str:
        """Return the state of a job; "" while the API does not answer."""
        for url in self._system.urls:
            with contextlib.suppress(httpx.HTTPError):
                answer = self._http.get(f"{url}/api/jobs/{job_id}", headers=self._headers[user])
                if answer.status_code == 200:
                    return str(answer.json()["state"])
        return ""

    def await_end(self, user: str, job_id: str) -> str:
        """Wait until a job has ended, and return its state. Raises AssertionError when that takes too long."""
        wait_for(lambda: self.state(user, job_id) in _END_STATES, END_SECONDS, f"job {job_id} has ended")
        return self.state(user, job_id)

    def send_and_wait(self, type_: str, payload: dict[str, Any]) -> str:
        """Enqueue a request, wait until its job has ended, and return its state."""
        return self.await_end(*self.send(type_, payload))
