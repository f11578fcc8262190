# Written by docs/synchronous_client.py: change asynchronous/admin.py instead.
"""What an administrator can do, as `client.admin`. Every method raises `Forbidden` when the caller has another role."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Unpack

from laneway.client import calls
from laneway.client.admin_models import (
    AuditEntry,
    Failures,
    LaneView,
    Overview,
    Pools,
    Ring,
    UserView,
    Workers,
)
from laneway.client.calls import PAGE
from laneway.client.models import (
    Accepted,
    AdminOperationFilters,
    Count,
    JobFilters,
    JobLog,
    JobView,
    KeyView,
    OperationView,
    ScheduleView,
    WebhookView,
    Why,
)
from laneway.client.synchronous.operation import Operation

if TYPE_CHECKING:
    from laneway.client.synchronous.client import Client


class Admin:
    """Lanes, dead letters and users of everybody."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def overview(
        self, since: datetime | None = None, until: datetime | None = None, *, step_seconds: int = 60
    ) -> Overview:
        """What the deployment did from `since` until `until`, in steps; without them the last 60 steps.

        Steps of whole hours reach back 90 days, all others 72 hours.
        """
        return self._client.run(calls.overview(since, until, step_seconds))

    def ring(self, limit: int = PAGE) -> Ring:
        """The next lanes in the order in which they take turns, at most `limit`, and those that are served now."""
        return self._client.run(calls.ring(limit))

    def workers(self) -> Workers:
        """The workers that are alive, and what each runs now."""
        return self._client.run(calls.workers())

    def pools(self) -> Pools:
        """The pools with the operator's last decision, what it was based on, and why it was taken."""
        return self._client.run(calls.pools())

    def lanes(self, sort: str = "user", *, name: str | None = None) -> Iterator[LaneView]:
        """All lanes that hold something, by `user`, `backlog`, `wait` or `failures` (then also empty ones with dead letters).

        With a `name` only those of users whose names begin with it.
        """
        after: str | None = None
        while True:
            page = self._client.run(calls.lanes(after, PAGE, sort, name))
            yield from page.lanes
            if (after := page.next) is None:
                return

    def pause(self, user: str) -> None:
        """Start nothing more of this lane until it is resumed. Running jobs go on."""
        self._client.run(calls.pause(user))

    def resume(self, user: str) -> None:
        """Let a paused lane go on."""
        self._client.run(calls.resume(user))

    def purge(self, user: str) -> int:
        """Cancel the waiting jobs of a lane, and return how many there were. Running jobs go on."""
        return self._client.run(calls.purge(user)).cancelled

    def limit(self, user: str, slots: int | None) -> None:
        """Set how many jobs of a lane may be in flight at once; None restores the default."""
        self._client.run(calls.limit(user, slots))

    def jobs(self, user: str, **filters: Unpack[JobFilters]) -> Iterator[JobView]:
        """All jobs of a user, or those that `JobFilters` says, read a page at a time."""
        cursor: str | None = None
        while True:
            page = self._client.run(calls.jobs_of(user, filters, PAGE, cursor))
            yield from page.jobs
            if (cursor := page.next) is None:
                return

    def job(self, user: str, job_id: str) -> JobView:
        """One job of a user. Raises `NotFound`."""
        return self._client.run(calls.job_of(user, job_id))

    def why(self, user: str, job_id: str) -> Why:
        """Why a job of a user has not started. Raises `NotFound`."""
        return self._client.run(calls.why_of(user, job_id))

    def logs(self, user: str, job_id: str) -> JobLog:
        """The log of a user's job. Raises `NotFound`."""
        return self._client.run(calls.logs_of(user, job_id))

    def failures(self, user: str | None = None, *, type_: str | None = None, limit: int = PAGE) -> Failures:
        """Failures that nobody has retried or dropped, in groups by type and error, the largest first."""
        return self._client.run(calls.failures(user, type_, limit))

    def dead_letters(
        self, user: str | None = None, *, type_: str | None = None, failure: str | None = None
    ) -> Iterator[JobView]:
        """Return dead letters: failed jobs that were neither retried nor dropped. `user`, `type_` and `failure` limit the list.

        Each user's are in the order of acceptance.
        """
        after: str | None = None
        while True:
            page = self._client.run(calls.dead_letters(user, type_, failure, after, PAGE))
            yield from page.jobs
            if (after := page.next) is None:
                return

    def retry_dead_letter(self, user: str, job_id: str) -> Accepted:
        """Enqueue a failed job's request again, as a new job. Repeating the call enqueues nothing twice."""
        return self._client.run(calls.retry_dead_letter(user, job_id))

    def drop_dead_letter(self, user: str, job_id: str) -> None:
        """Drop a dead letter. The job stays in its user's history."""
        self._client.run(calls.drop_dead_letter(user, job_id))

    def count_matching(self, action: str, **filters: Unpack[AdminOperationFilters]) -> Count:
        """How many jobs, of a `user` or of all, an operation would be about. `action` is `cancel`, `retry` or `drop`."""
        body = {"action": action, "dry_run": True, **filters}
        counted = self._client.run(calls.start_operation_of_admin(body))
        return Count(counted.count, counted.at_least, counted.as_of)

    def start_operation(self, action: str, **filters: Unpack[AdminOperationFilters]) -> Operation:
        """Do something to all jobs that match, of a `user` or of all, as the client's `start_operation` does."""
        started = self._client.run(calls.start_operation_of_admin({"action": action, **filters}))
        return Operation(self._client, started.operation_id, as_admin=True)

    def operations(self) -> Iterator[OperationView]:
        """The operations of everybody, newest first."""
        before: str | None = None
        while True:
            page = self._client.run(calls.all_operations(before, PAGE))
            yield from page.operations
            if (before := page.next) is None:
                return

    def audit(self) -> Iterator[AuditEntry]:
        """What administrators did, newest first."""
        before: str | None = None
        while True:
            page = self._client.run(calls.audit(before, PAGE))
            yield from page.entries
            if (before := page.next) is None:
                return

    def users(self, name: str | None = None, *, role: str | None = None) -> Iterator[UserView]:
        """All users, or those with a `role` or whose names begin with `name`, in order of their names."""
        after: str | None = None
        while True:
            page = self._client.run(calls.users(after, PAGE, name, role))
            yield from page.users
            if (after := page.next) is None:
                return

    def api_keys(self, user: str) -> list[KeyView]:
        """The API keys of a user, oldest first."""
        return self._client.run(calls.keys_of(user)).keys

    def revoke_api_key(self, user: str, key_id: str) -> None:
        """Refuse an API key of a user from now on. Raises `NotFound`."""
        self._client.run(calls.revoke_key_of(user, key_id))

    def invite(self, seconds: int = 7 * 86_400) -> str:
        """Make an invitation, with which one user can register within `seconds`."""
        return self._client.run(calls.invite(seconds)).invitation

    def set_role(self, user: str, role: str) -> None:
        """Make a user an `admin`, from the next log-in on, or a `user`, at once. Raises `NotFound`."""
        self._client.run(calls.set_role(user, role))

    def schedules(self, user: str) -> list[ScheduleView]:
        """The schedules of a user, in the order of their names."""
        return self._client.run(calls.schedules_of(user)).schedules

    def pause_schedule(self, user: str, name: str) -> ScheduleView:
        """Pause a schedule of a user. Raises `NotFound`."""
        return self._client.run(calls.pause_schedule_of(user, name))

    def resume_schedule(self, user: str, name: str) -> ScheduleView:
        """Resume a schedule of a user. Raises `NotFound`."""
        return self._client.run(calls.resume_schedule_of(user, name))

    def delete_schedule(self, user: str, name: str) -> None:
        """Delete a schedule of a user. Raises `NotFound`."""
        self._client.run(calls.delete_schedule_of(user, name))

    def webhooks(self, user: str) -> list[WebhookView]:
        """The webhooks of a user, oldest first. Their URLs end behind the host."""
        return self._client.run(calls.webhooks_of(user)).webhooks

    def disable_webhook(self, user: str, webhook_id: str) -> WebhookView:
        """Disable a user's webhook until an administrator enables it, and cancel its waiting deliveries.

        Raises `NotFound`.
        """
        return self._client.run(calls.disable_webhook_of(user, webhook_id))

    def enable_webhook(self, user: str, webhook_id: str) -> WebhookView:
        """Enable a user's webhook that an administrator has disabled.

        Raises `NotFound`, and `Conflict` if somebody else has disabled it.
        """
        return self._client.run(calls.enable_webhook_of(user, webhook_id))
