"""A client of the API for one user."""

from __future__ import annotations

import secrets
from typing import Any

import httpx


class Client:
    """A new user, registered and logged in."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=10)
        user = {"username": f"user-{secrets.token_hex(4)}", "password": secrets.token_urlsafe(16)}
        assert self._http.post("/api/register", json=user).status_code == 201
        token = self._http.post("/api/login", json=user).json()["token"]
        self._http.headers["Authorization"] = f"Bearer {token}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": self._http.headers["Authorization"]}

    def at(self, url: str) -> None:
        """Send further requests to this URL."""
        self._http.base_url = url

    def enqueue(self, type_: str, *requests: Any) -> list[str]:
        batch = {"requests": [{"type": type_, "request": request} for request in requests]}
        answer = self._http.post("/api/enqueue/batch", json=batch)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["job_ids"])

    def cancel(self, job_ids: list[str]) -> None:
        for job_id in job_ids:
            assert self._http.delete(f"/api/jobs/{job_id}").status_code == 200

    def job(self, job_id: str) -> dict[str, Any]:
        return self._get(f"/api/jobs/{job_id}")

    def lane(self) -> dict[str, Any]:
        return self._get("/api/queue")

    def states(self, job_ids: list[str]) -> set[str]:
        return {self.job(job_id)["state"] for job_id in job_ids}

    def _get(self, path: str) -> dict[str, Any]:
        answer = self._http.get(path)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())
