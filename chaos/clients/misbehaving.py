"""A client whose requests misbehave, and one that the thrower of faults waits for: plain calls, one at a time."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import threading
import time
from typing import Any

import httpx

from chaos.clients.load import signed
from chaos.records import Accepted, Ambiguous, note
from chaos.system.programs import wait_for
from chaos.system.system import System

USERS = 3
SEND_SECONDS = 60.0
END_SECONDS = 60.0
AGAIN_SECONDS = 0.1
_ENDS = ("succeeded", "failed", "cancelled")


class Trouble:
    """Some users of its own, in turn, so that one lane full of trouble does not hold up the next."""

    def __init__(self, system: System, name: str = "trouble") -> None:
        self.users = [f"{name}{number}" for number in range(USERS)]
        self._system = system
        self._tokens = {user: signed(system.secret, user) for user in self.users}
        self._next = itertools.cycle(self.users)
        self._http = httpx.Client(timeout=5)

    def close(self) -> None:
        self._http.close()

    def send(self, type_: str, payload: dict[str, Any]) -> tuple[str, str]:
        """User and job id. The request is sent again with its key until it is accepted. Raises AssertionError when that takes long."""
        user, tag, key = next(self._next), secrets.token_hex(8), secrets.token_hex(12)
        body = {"type": type_, "request": {**payload, "tag": tag}}
        headers = {"Authorization": f"Bearer {self._tokens[user]}", "Idempotency-Key": key}
        deadline, urls = time.monotonic() + SEND_SECONDS, itertools.cycle(self._system.urls)
        while time.monotonic() < deadline:
            sent_ns = time.monotonic_ns()
            with contextlib.suppress(httpx.HTTPError):
                answer = self._http.post(f"{next(urls)}/api/enqueue", json=body, headers=headers)
                if answer.status_code == 200:
                    job_id = str(answer.json()["job_id"])
                    told = Accepted(job_id, user, user, 0, sent_ns, time.monotonic_ns(), tag, key, type_)
                    note(self._system.records, "trouble", told)
                    return user, job_id
            note(self._system.records, "trouble", Ambiguous(user, user, sent_ns, tag, key, type_))
            threading.Event().wait(AGAIN_SECONDS)
        raise AssertionError(f"a request was not accepted within {SEND_SECONDS} s")

    def state(self, user: str, job_id: str) -> str:
        """What the API says; "" while it does not answer."""
        headers = {"Authorization": f"Bearer {self._tokens[user]}"}
        for url in self._system.urls:
            with contextlib.suppress(httpx.HTTPError):
                answer = self._http.get(f"{url}/api/jobs/{job_id}", headers=headers)
                if answer.status_code == 200:
                    return str(answer.json()["state"])
        return ""

    def send_and_wait(self, type_: str, payload: dict[str, Any]) -> str:
        """How it ended."""
        user, job_id = self.send(type_, payload)
        wait_for(lambda: self.state(user, job_id) in _ENDS, END_SECONDS, f"{type_} has ended")
        return self.state(user, job_id)
