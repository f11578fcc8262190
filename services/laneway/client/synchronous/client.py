# Written by docs/synchronous_client.py: change asynchronous/client.py instead.
"""The client: a method for each operation of the API.

More than 250 lines, because a method with its signature and docstring takes six, and there is one for each operation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Literal, Unpack

from laneway.client import calls
from laneway.client.calls import PAGE
from laneway.client.models import (
    AcceptedBatch,
    Account,
    Cancellation,
    Count,
    Event,
    JobFilters,
    JobLog,
    JobPage,
    JobView,
    KeyView,
    NewKey,
    NewWebhook,
    OperationFilters,
    OperationView,
    QueueView,
    Request,
    ScheduleView,
    TypeView,
    WaysToLogIn,
    WebhookView,
    Why,
)
from laneway.client.synchronous.admin import Admin
from laneway.client.synchronous.connection import Connection
from laneway.client.synchronous.job import Job
from laneway.client.synchronous.operation import Operation
from laneway.client.synchronous.presence import hold
from laneway.client.synchronous.stream import follow


class Client(Connection):
    """A connection pool to one API, as one user. Close it, or use it as a context manager.

    Give a `token`, which may be an API key, or `username` and `password`: then it logs in when it must, and again when its
    token has expired. A call is repeated for at most `retry_seconds` while the API is unreachable, unavailable (503) or too busy
    (429); each HTTP request may take `timeout_seconds`. Methods raise subclasses of `ClientError`.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        token: str | None = None,
        username: str | None = None,
        password: str | None = None,
        timeout_seconds: float = 10,
        retry_seconds: float = 45,
    ) -> None:
        super().__init__(
            url,
            token=token,
            username=username,
            password=password,
            timeout_seconds=timeout_seconds,
            retry_seconds=retry_seconds,
        )
        self.admin = Admin(self)
        """What an administrator can do."""

    # -- accounts -------------------------------------------------------------------------------------------------------

    def register(self, username: str, password: str, invitation: str | None = None) -> None:
        """Register a user, with an invitation if registration needs one.

        Raises `RequestRefused` when the name is taken, the password is weak or the invitation is not valid.
        """
        self.run(calls.register(username, password, invitation))

    def ways_to_log_in(self) -> WaysToLogIn:
        """The ways to log in that are open here, and who may register."""
        return self.run(calls.ways_to_log_in())

    def log_in_at_issuer(self, code: str, *, code_verifier: str, nonce: str, redirect_uri: str) -> str:
        """Log in with an authorization code of an OpenID Connect issuer, and return the token, which this client uses from now on.

        `code_verifier` (PKCE), `nonce` and `redirect_uri` belong to the request that the issuer answered with the code. Raises
        `RequestRefused`, and `Forbidden` when the issuer's user is no user here. A token of the issuer itself needs no log-in:
        give it as `token`.
        """
        login = self.run(calls.log_in_at_issuer(code, code_verifier, nonce, redirect_uri))
        self._token = login.token
        return self._token

    def logout(self) -> None:
        """Revoke the token and close its live connections. Without another open connection the user is disconnected now."""
        self.run(calls.logout())
        self._token = None

    def account(self) -> Account:
        """Who the caller is, and what its API key may do."""
        return self.run(calls.account())

    def change_password(self, password: str, new_password: str) -> str:
        """Change the caller's password, and return the new token, which this client uses from now on.

        All other log-ins of the user end; API keys stay valid. Raises `RequestRefused` when the password is wrong or the new
        one is weak.
        """
        self._token = self.run(calls.change_password(password, new_password)).token
        if self._password is not None:
            self._password = new_password
        return self._token

    def delete_account(self, password: str) -> None:
        """Delete the caller's account with its API keys, schedules, webhooks, waiting jobs and history. Nobody can register the name again.

        Raises `Conflict` for the last administrator.
        """
        self.run(calls.delete_account(password))
        self._token = None

    def api_keys(self) -> list[KeyView]:
        """The caller's API keys, oldest first."""
        return self.run(calls.keys()).keys

    def create_api_key(
        self,
        name: str,
        *,
        scopes: Iterable[str] = ("enqueue", "read"),
        expires_in_seconds: int | None = 90 * 86_400,
    ) -> NewKey:
        """Make an API key, and return it with its secret, which nobody can read again.

        `scopes` are of `enqueue`, `read`, `write`, `keys` and `admin`. Never sent twice: when the answer is lost, revoke the
        key that `api_keys()` shows, and make another.
        """
        return self.run(calls.create_key(name, scopes, expires_in_seconds))

    def revoke_api_key(self, key_id: str) -> None:
        """Refuse an API key from now on. Raises `NotFound`."""
        self.run(calls.revoke_key(key_id))

    # -- jobs -----------------------------------------------------------------------------------------------------------

    def enqueue(
        self,
        type_: str,
        request: Any = None,
        *,
        key: str | None = None,
        delay: float | None = None,
        not_before: datetime | None = None,
        unique_key: str | None = None,
    ) -> Job:
        """Put a request into the caller's lane. When this returns, the request is kept and will come to an end.

        The job enters the lane `delay` seconds from now, or at `not_before` (an aware datetime): the lane is first in, first
        out by that moment. `key` is an idempotency key: enqueueing the same request under the same key again, within a day,
        returns the same job. While a job of the caller with the same `unique_key` has not ended, no second one is made: that job
        is returned, and its `duplicate` is true. Raises `TooManyRequests` when the lane stays full for `retry_seconds`.
        """
        sent = Request(type_, request, delay, not_before, unique_key)
        accepted = self.run(calls.enqueue(sent, key))
        return Job(self, accepted.job_id, duplicate=accepted.duplicate)

    def enqueue_many(
        self, requests: Iterable[tuple[str, Any] | Request], *, key: str | None = None
    ) -> Iterator[Job]:
        """Enqueue any number of `(type, request)` or `Request`, in order and in batches; yields their jobs as they are accepted.

        A generator: consume it, or nothing is sent. With a `key`, the same requests sent again under it go on where an
        earlier call broke off.
        """
        for operation in calls.batches(requests, key):
            batch: AcceptedBatch = self.run(operation)
            duplicates = set(batch.duplicates)
            for i, job_id in enumerate(batch.job_ids):
                yield Job(self, job_id, duplicate=i in duplicates)

    def job(self, job_id: str) -> JobView:
        """One of the caller's jobs. Raises `NotFound`."""
        return self.run(calls.job(job_id))

    def why(self, job_id: str) -> Why:
        """Why one of the caller's jobs has not started. Raises `NotFound`."""
        return self.run(calls.why(job_id))

    def logs(self, job_id: str) -> JobLog:
        """What one of the caller's jobs has logged. Raises `NotFound`."""
        return self.run(calls.logs(job_id))

    def page(self, *, limit: int = 50, cursor: str | None = None, **filters: Unpack[JobFilters]) -> JobPage:
        """One page of the caller's jobs, as `JobFilters` says; `limit` is at most 100."""
        return self.run(calls.jobs(filters, limit, cursor))

    def jobs(self, **filters: Unpack[JobFilters]) -> Iterator[JobView]:
        """All of the caller's jobs, or those that `JobFilters` says, read a page at a time."""
        cursor: str | None = None
        while True:
            page = self.page(limit=PAGE, cursor=cursor, **filters)
            yield from page.jobs
            if page.next is None:
                return
            cursor = page.next

    def run_again(self, job_id: str, *, key: str | None = None) -> Job:
        """Enqueue the request of an ended job again, as a new job. To change it, enqueue a request of your own.

        `key` is an idempotency key, as in `enqueue`. Raises `NotFound`, and `Conflict` when the job has not ended or when another
        job has its unique key.
        """
        return Job(self, self.run(calls.run_again(job_id, key)).job_id)

    def cancel(self, job_id: str) -> Cancellation:
        """Cancel a job; a running one is asked to stop. Raises `Conflict` when it has ended."""
        return self.run(calls.cancel(job_id))

    # -- operations -----------------------------------------------------------------------------------------------------

    def count_matching(self, action: str, **filters: Unpack[OperationFilters]) -> Count:
        """How many jobs an operation would be about. `action` is `cancel`, `retry` or `drop`."""
        counted = self.run(calls.start_operation({"action": action, "dry_run": True, **filters}))
        return Count(counted.count, counted.at_least, counted.as_of)

    def start_operation(self, action: str, **filters: Unpack[OperationFilters]) -> Operation:
        """Do something to all of the caller's jobs that match: `cancel` those that have not ended, `retry` or `drop` dead letters.

        A retry enqueues the requests again in the order of acceptance. A job that has just failed is a dead letter once it is in
        the history: within a second as a rule, later while MongoDB is away. The API continues if this client ends. Raises
        `Conflict` when too many operations of the caller run.
        """
        started = self.run(calls.start_operation({"action": action, **filters}))
        return Operation(self, started.operation_id)

    def operations(self) -> Iterator[OperationView]:
        """The operations that the caller has started, newest first."""
        before: str | None = None
        while True:
            page = self.run(calls.operations(before, PAGE))
            yield from page.operations
            if (before := page.next) is None:
                return

    # -- types, the lane, live events -----------------------------------------------------------------------------------

    def types(self) -> list[TypeView]:
        """What can be enqueued: the types, with the JSON Schemas of what they take and give, and their limits."""
        return self.run(calls.types()).types

    def queue(self) -> QueueView:
        """The caller's lane."""
        return self.run(calls.queue())

    def watch(self) -> Iterator[Event]:
        """Yield what happens to the caller's jobs, live. Watching is not presence.

        A connection that breaks is opened again and goes on where it broke off; `missed` says where that was impossible. Raises
        `ServerUnavailable` when the API stays away for `retry_seconds`, and `Unauthorized` when the token ends.
        """
        yield from follow(self, calls.watch())

    @contextmanager
    def connect(self) -> Iterator[Event]:
        """Be connected while the block runs: the user's presence.

        Yields the first event, whose `on_disconnect` says what happens to the lane afterwards. The connection is held beside the
        block; one that breaks is opened again. Raises as `watch` does, at the end of the block where the connection was lost meanwhile.
        """
        with hold(self) as first:
            yield first

    # -- schedules ------------------------------------------------------------------------------------------------------

    def schedules(self) -> list[ScheduleView]:
        """The caller's schedules, in the order of their names."""
        return self.run(calls.schedules()).schedules

    def schedule(self, name: str) -> ScheduleView:
        """One of the caller's schedules. Raises `NotFound`."""
        return self.run(calls.schedule(name))

    def put_schedule(
        self,
        name: str,
        type_: str,
        request: Any = None,
        *,
        cron: str | None = None,
        time_zone: str | None = None,
        every_seconds: int | None = None,
        missed: Literal["skip", "once", "all"] = "once",
        unique_key: str | None = None,
    ) -> ScheduleView:
        """Create the caller's schedule of this name, or replace what it does. A program may call this whenever it starts.

        Give `cron` (five fields, on the clock of `time_zone`, by default UTC) or `every_seconds`. A timing that does not change
        keeps its next fire time. `missed` says what to do about fire times that nobody could fire: nothing, one job for
        all of them, or a job for each. With a `unique_key` a fire time is skipped while a job with that key has not ended. Raises `RequestRefused`, and `Conflict` when the user has too many schedules.
        """
        timing = {
            "cron": cron,
            "time_zone": time_zone,
            "every_seconds": every_seconds,
            "missed": missed,
            "unique_key": unique_key,
        }
        return self.run(calls.put_schedule(name, type_, request, timing))

    def delete_schedule(self, name: str) -> None:
        """Delete a schedule. Jobs that it has enqueued stay. Raises `NotFound`."""
        self.run(calls.delete_schedule(name))

    def next_fire_times(self, name: str, count: int = 5) -> list[datetime]:
        """When a schedule fires next, unless it is paused. Raises `NotFound`."""
        return self.run(calls.next_fire_times(name, count)).times

    def pause_schedule(self, name: str) -> ScheduleView:
        """Fire a schedule no more until it is resumed. Raises `NotFound`."""
        return self.run(calls.pause_schedule(name))

    def resume_schedule(self, name: str) -> ScheduleView:
        """Let a schedule fire again. Fire times that have passed meanwhile count as missed. Raises `NotFound`."""
        return self.run(calls.resume_schedule(name))

    def run_schedule(self, name: str, *, key: str | None = None) -> Job:
        """Enqueue the request of a schedule now. The schedule goes on as before.

        `key` is an idempotency key, as in `enqueue`. Raises `NotFound`, and `Conflict` when a job has its unique key.
        """
        return Job(self, self.run(calls.run_schedule(name, key)).job_id)

    # -- webhooks -------------------------------------------------------------------------------------------------------

    def webhooks(self) -> list[WebhookView]:
        """The caller's webhooks, oldest first."""
        return self.run(calls.webhooks()).webhooks

    def webhook(self, webhook_id: str) -> WebhookView:
        """One of the caller's webhooks. Raises `NotFound`."""
        return self.run(calls.webhook(webhook_id))

    def create_webhook(
        self, url: str, *, states: Iterable[str] | None = None, types: Iterable[str] | None = None
    ) -> NewWebhook:
        """Have ends of jobs delivered to a URL: those of these states and types, by default all.

        The answer has the secret, which cannot be read again. Raises `RequestRefused` if nothing may be delivered to the URL,
        `Conflict` when the user has too many webhooks, and `Forbidden` where there are none.
        """
        return self.run(calls.create_webhook(url, states, types))

    def delete_webhook(self, webhook_id: str) -> None:
        """Delete a webhook and its waiting deliveries. Raises `NotFound`, and `Forbidden` if an administrator has disabled it."""
        self.run(calls.delete_webhook(webhook_id))

    def rotate_webhook(self, webhook_id: str) -> NewWebhook:
        """Replace a webhook's secret. The old one signs beside it for a day. Raises `NotFound`."""
        return self.run(calls.rotate_webhook(webhook_id))

    def enable_webhook(self, webhook_id: str) -> WebhookView:
        """Enable a disabled webhook. Raises `NotFound`, and `Forbidden` if an administrator has disabled it."""
        return self.run(calls.enable_webhook(webhook_id))

    def disable_webhook(self, webhook_id: str) -> WebhookView:
        """Let a webhook get no more deliveries until it is enabled, and cancel those that wait. Raises `NotFound`."""
        return self.run(calls.disable_webhook(webhook_id))

    def test_webhook(self, webhook_id: str) -> str:
        """Deliver a test event, once and soon. Return the id of its message. Raises `NotFound`."""
        return self.run(calls.test_webhook(webhook_id)).message_id
