"""What each method of the client sends, and the type of the answer. No input or output happens here.

`Client` and `AsyncClient` make the same calls, so that a path, a parameter or a field is written once. More than 250
lines, because the API takes that many calls; each is one short function.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec

from laneway.client import admin_models, models

T = TypeVar("T")

PAGE = 100
"""Entries read with one call: the most that the API gives."""
BATCH_REQUESTS = 1000
"""The most requests that one call of `/api/enqueue/batch` takes (`LANEWAY_BATCH_MAX`)."""
BATCH_BYTES = 4_000_000
"""A batch is sent when it has this many bytes of payloads: a request of this size is answered within a second."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request to the API. `reads` is the type of its answer, None if there is no body.

    `repeatable`: whether sending it twice has the effect of sending it once.
    """

    method: str
    path: str
    reads: type[T]
    json: Any = None
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    authorized: bool = True
    repeatable: bool = True

    def content(self) -> bytes | None:
        """The body, as JSON."""
        return None if self.json is None else msgspec.json.encode(self.json)

    def parse(self, body: bytes) -> T:
        """The answer's value."""
        return msgspec.json.decode(body, type=self.reads) if self.reads is not type(None) else None


def register(username: str, password: str, invitation: str | None = None) -> Call[None]:
    """Add a user."""
    body = {"username": username, "password": password} | _given(invitation=invitation)
    return Call("POST", "/api/register", type(None), body, authorized=False)


def login(username: str, password: str) -> Call[models.Login]:
    """Get a token for a name and a password."""
    body = {"username": username, "password": password}
    return Call("POST", "/api/login", models.Login, body, authorized=False)


def ways_to_log_in() -> Call[models.WaysToLogIn]:
    """Read how users log in."""
    return Call("GET", "/api/login", models.WaysToLogIn, authorized=False)


def log_in_at_issuer(code: str, code_verifier: str, nonce: str, redirect_uri: str) -> Call[models.Login]:
    """Get a token for an OpenID Connect issuer's code."""
    body = {"code": code, "code_verifier": code_verifier, "nonce": nonce, "redirect_uri": redirect_uri}
    return Call("POST", "/api/login/oidc", models.Login, body, authorized=False, repeatable=False)


def logout() -> Call[None]:
    """Revoke the token."""
    return Call("POST", "/api/logout", type(None))


def account() -> Call[models.Account]:
    """Read who the caller is."""
    return Call("GET", "/api/account", models.Account)


def change_password(password: str, new_password: str) -> Call[models.Login]:
    """Change the caller's password, and get a new token."""
    body = {"password": password, "new_password": new_password}
    return Call("PUT", "/api/account/password", models.Login, body, repeatable=False)


def delete_account(password: str) -> Call[None]:
    """Delete the caller's account."""
    return Call("POST", "/api/account/delete", type(None), {"password": password})


def keys() -> Call[models.Keys]:
    """List the caller's API keys."""
    return Call("GET", "/api/keys", models.Keys)


def create_key(name: str, scopes: Iterable[str], expires_in_seconds: int | None) -> Call[models.NewKey]:
    """Make an API key."""
    body = {"name": name, "scopes": list(scopes), "expires_in": expires_in_seconds}
    return Call("POST", "/api/keys", models.NewKey, body, repeatable=False)


def revoke_key(key_id: str) -> Call[None]:
    """Revoke an API key."""
    return Call("DELETE", f"/api/keys/{_segment(key_id)}", type(None))


def enqueue(request: models.Request, key: str | None) -> Call[models.Accepted]:
    """Without `key` a random one is sent, so that a repeated call after a lost answer enqueues nothing twice."""
    return Call("POST", "/api/enqueue", models.Accepted, _body(request), headers=_idempotent(key))


def enqueue_batch(requests: Sequence[models.Request], key: str | None) -> Call[models.AcceptedBatch]:
    """Enqueue requests in this order, all or none."""
    body = {"requests": [_body(request) for request in requests]}
    return Call("POST", "/api/enqueue/batch", models.AcceptedBatch, body, headers=_idempotent(key))


def job(job_id: str) -> Call[models.JobView]:
    """Read one job."""
    return Call("GET", f"/api/jobs/{_segment(job_id)}", models.JobView)


def why(job_id: str) -> Call[models.Why]:
    """Read why a job has not started."""
    return Call("GET", f"/api/jobs/{_segment(job_id)}/why", models.Why)


def logs(job_id: str) -> Call[models.JobLog]:
    """Read what a job has logged."""
    return Call("GET", f"/api/jobs/{_segment(job_id)}/logs", models.JobLog)


def jobs(filters: models.JobFilters, limit: int, cursor: str | None) -> Call[models.JobPage]:
    """List the caller's jobs."""
    return Call("GET", "/api/jobs", models.JobPage, params=_listing(filters, limit, cursor))


def jobs_of(user: str, filters: models.JobFilters, limit: int, cursor: str | None) -> Call[models.JobPage]:
    """List any user's jobs."""
    params = _listing(filters, limit, cursor)
    return Call("GET", f"/api/admin/jobs/{_segment(user)}", models.JobPage, params=params)


def job_of(user: str, job_id: str) -> Call[models.JobView]:
    """Read one job of any user."""
    return Call("GET", f"/api/admin/jobs/{_segment(user)}/{_segment(job_id)}", models.JobView)


def why_of(user: str, job_id: str) -> Call[models.Why]:
    """Read why a job of any user has not started."""
    return Call("GET", f"/api/admin/jobs/{_segment(user)}/{_segment(job_id)}/why", models.Why)


def logs_of(user: str, job_id: str) -> Call[models.JobLog]:
    """Read what a job of any user has logged."""
    return Call("GET", f"/api/admin/jobs/{_segment(user)}/{_segment(job_id)}/logs", models.JobLog)


def run_again(job_id: str, key: str | None) -> Call[models.Accepted]:
    """Enqueue an ended job's request again."""
    path = f"/api/jobs/{_segment(job_id)}/again"
    return Call("POST", path, models.Accepted, headers=_idempotent(key))


def cancel(job_id: str) -> Call[models.Cancellation]:
    """Cancel a job, or ask it to stop."""
    return Call("DELETE", f"/api/jobs/{_segment(job_id)}", models.Cancellation)


def types() -> Call[models.TypeList]:
    """List what can be enqueued."""
    return Call("GET", "/api/types", models.TypeList)


def queue() -> Call[models.QueueView]:
    """Read the state of the caller's lane."""
    return Call("GET", "/api/queue", models.QueueView)


def schedules() -> Call[models.ScheduleList]:
    """List the caller's schedules."""
    return Call("GET", "/api/schedules", models.ScheduleList)


def schedule(name: str) -> Call[models.ScheduleView]:
    """Read one schedule."""
    return Call("GET", _schedule(name), models.ScheduleView)


def put_schedule(name: str, type_: str, request: Any, timing: Mapping[str, Any]) -> Call[models.ScheduleView]:
    """Create or replace a schedule. `timing` has the other fields of the body; None leaves one out."""
    body = {"type": type_, "request": request} | _given(**timing)
    return Call("PUT", _schedule(name), models.ScheduleView, body)


def delete_schedule(name: str) -> Call[None]:
    """Delete a schedule."""
    return Call("DELETE", _schedule(name), type(None))


def next_fire_times(name: str, count: int) -> Call[models.FireTimes]:
    """Read when a schedule fires next."""
    return Call("GET", f"{_schedule(name)}/next", models.FireTimes, params={"count": count})


def pause_schedule(name: str) -> Call[models.ScheduleView]:
    """Fire a schedule no more."""
    return Call("POST", f"{_schedule(name)}/pause", models.ScheduleView)


def resume_schedule(name: str) -> Call[models.ScheduleView]:
    """Let a paused schedule fire again."""
    return Call("POST", f"{_schedule(name)}/resume", models.ScheduleView)


def webhooks() -> Call[models.WebhookList]:
    """List the caller's webhooks."""
    return Call("GET", "/api/webhooks", models.WebhookList)


def create_webhook(
    url: str, states: Iterable[str] | None, types: Iterable[str] | None
) -> Call[models.NewWebhook]:
    """Add a webhook. None leaves a field out."""
    body = {"url": url} | _given(
        states=None if states is None else list(states), types=None if types is None else list(types)
    )
    return Call("POST", "/api/webhooks", models.NewWebhook, body, repeatable=False)


def webhook(webhook_id: str) -> Call[models.WebhookView]:
    """Read one webhook."""
    return Call("GET", f"/api/webhooks/{_segment(webhook_id)}", models.WebhookView)


def delete_webhook(webhook_id: str) -> Call[None]:
    """Delete a webhook."""
    return Call("DELETE", f"/api/webhooks/{_segment(webhook_id)}", type(None))


def rotate_webhook(webhook_id: str) -> Call[models.NewWebhook]:
    """Replace a webhook's secret."""
    path = f"/api/webhooks/{_segment(webhook_id)}/rotate"
    return Call("POST", path, models.NewWebhook, repeatable=False)


def enable_webhook(webhook_id: str) -> Call[models.WebhookView]:
    """Let a disabled webhook get deliveries again."""
    return Call("POST", f"/api/webhooks/{_segment(webhook_id)}/enable", models.WebhookView)


def disable_webhook(webhook_id: str) -> Call[models.WebhookView]:
    """Let a webhook get no more deliveries."""
    return Call("POST", f"/api/webhooks/{_segment(webhook_id)}/disable", models.WebhookView)


def test_webhook(webhook_id: str) -> Call[models.TestDelivery]:
    """Make a test delivery."""
    path = f"/api/webhooks/{_segment(webhook_id)}/test"
    return Call("POST", path, models.TestDelivery, repeatable=False)


def run_schedule(name: str, key: str | None) -> Call[models.Accepted]:
    """Enqueue a schedule's request now."""
    return Call("POST", f"{_schedule(name)}/run", models.Accepted, headers=_idempotent(key))


def start_operation(body: Mapping[str, Any]) -> Call[models.StartedOperation]:
    """Do something to all of the caller's jobs that match, or count them."""
    return Call("POST", "/api/operations", models.StartedOperation, _operation(body))


def operation(operation_id: str) -> Call[models.OperationView]:
    """Read an operation."""
    return Call("GET", f"/api/operations/{_segment(operation_id)}", models.OperationView)


def operations(before: str | None, limit: int) -> Call[models.OperationPage]:
    """List the caller's operations."""
    params = _given(before=before, limit=limit)
    return Call("GET", "/api/operations", models.OperationPage, params=params)


def cancel_operation(operation_id: str) -> Call[models.OperationView]:
    """End an operation."""
    return Call("POST", f"/api/operations/{_segment(operation_id)}/cancel", models.OperationView)


def start_operation_of_admin(body: Mapping[str, Any]) -> Call[models.StartedOperation]:
    """Do something to all jobs that match, of one user or of all, or count them."""
    return Call("POST", "/api/admin/operations", models.StartedOperation, _operation(body))


def any_operation(operation_id: str) -> Call[models.OperationView]:
    """Read an operation of anybody."""
    return Call("GET", f"/api/admin/operations/{_segment(operation_id)}", models.OperationView)


def all_operations(before: str | None, limit: int) -> Call[models.OperationPage]:
    """List the operations of everybody."""
    params = _given(before=before, limit=limit)
    return Call("GET", "/api/admin/operations", models.OperationPage, params=params)


def cancel_any_operation(operation_id: str) -> Call[models.OperationView]:
    """End an operation of anybody."""
    return Call("POST", f"/api/admin/operations/{_segment(operation_id)}/cancel", models.OperationView)


def watch() -> Call[models.Event]:
    """Receive what happens to the caller's jobs."""
    return Call("GET", "/api/events", models.Event)


def connect() -> Call[models.Event]:
    """Be connected, and receive what happens to the caller's jobs."""
    return Call("GET", "/api/connect", models.Event)


def lanes(after: str | None, limit: int, sort: str, name: str | None) -> Call[admin_models.LanePage]:
    """List the lanes."""
    params = _given(after=after, limit=limit, sort=sort, name=name)
    return Call("GET", "/api/admin/lanes", admin_models.LanePage, params=params)


def pause(user: str) -> Call[None]:
    """Start no more jobs of a lane."""
    return Call("POST", f"/api/admin/lanes/{_segment(user)}/pause", type(None))


def resume(user: str) -> Call[None]:
    """Start jobs of a paused lane again."""
    return Call("POST", f"/api/admin/lanes/{_segment(user)}/resume", type(None))


def purge(user: str) -> Call[admin_models.Purged]:
    """Cancel the jobs of a lane, except those that run."""
    return Call("POST", f"/api/admin/lanes/{_segment(user)}/purge", admin_models.Purged)


def limit(user: str, slots: int | None) -> Call[None]:
    """Set a lane's slots; None sets the default."""
    return Call("PUT", f"/api/admin/lanes/{_segment(user)}/limit", type(None), {"slots": slots})


def failures(user: str | None, type_: str | None, limit: int) -> Call[admin_models.Failures]:
    """List failures in groups."""
    params = _given(user=user, type=type_, limit=limit)
    return Call("GET", "/api/admin/failures", admin_models.Failures, params=params)


def dead_letters(
    user: str | None, type_: str | None, failure: str | None, after: str | None, limit: int
) -> Call[models.JobPage]:
    """List failed jobs that nobody has retried or dropped."""
    params = _given(user=user, type=type_, failure=failure, after=after, limit=limit)
    return Call("GET", "/api/admin/dead-letters", models.JobPage, params=params)


def retry_dead_letter(user: str, job_id: str) -> Call[models.Accepted]:
    """Enqueue a failed request again."""
    return Call("POST", f"{_dead_letter(user, job_id)}/retry", models.Accepted)


def drop_dead_letter(user: str, job_id: str) -> Call[None]:
    """Drop a dead letter."""
    return Call("DELETE", _dead_letter(user, job_id), type(None))


def overview(
    since: datetime | None, until: datetime | None, step_seconds: int
) -> Call[admin_models.Overview]:
    """Read what the deployment did."""
    moments = {"from": since and since.isoformat(), "to": until and until.isoformat()}
    params = _given(**moments, step=step_seconds)
    return Call("GET", "/api/admin/overview", admin_models.Overview, params=params)


def ring(limit: int) -> Call[admin_models.Ring]:
    """Show the next lanes in the order in which they take turns."""
    return Call("GET", "/api/admin/ring", admin_models.Ring, params=_given(limit=limit))


def workers() -> Call[admin_models.Workers]:
    """List the workers and what they run."""
    return Call("GET", "/api/admin/workers", admin_models.Workers)


def pools() -> Call[admin_models.Pools]:
    """List the pools and the operator's last decision about each."""
    return Call("GET", "/api/admin/pools", admin_models.Pools)


def audit(before: str | None, limit: int) -> Call[admin_models.AuditPage]:
    """List what administrators did, newest first."""
    return Call("GET", "/api/admin/audit", admin_models.AuditPage, params=_given(before=before, limit=limit))


def users(after: str | None, limit: int, name: str | None, role: str | None) -> Call[admin_models.UserPage]:
    """List users in the order of their names."""
    params = _given(after=after, limit=limit, name=name, role=role)
    return Call("GET", "/api/admin/users", admin_models.UserPage, params=params)


def invite(seconds: int) -> Call[admin_models.Invitation]:
    """Make an invitation."""
    return Call("POST", "/api/admin/invitations", admin_models.Invitation, {"seconds": seconds})


def keys_of(user: str) -> Call[models.Keys]:
    """List the API keys of any user."""
    return Call("GET", f"/api/admin/users/{_segment(user)}/keys", models.Keys)


def revoke_key_of(user: str, key_id: str) -> Call[None]:
    """Revoke an API key of any user."""
    path = f"/api/admin/users/{_segment(user)}/keys/{_segment(key_id)}"
    return Call("DELETE", path, type(None))


def schedules_of(user: str) -> Call[models.ScheduleList]:
    """List the schedules of any user."""
    return Call("GET", f"/api/admin/users/{_segment(user)}/schedules", models.ScheduleList)


def pause_schedule_of(user: str, name: str) -> Call[models.ScheduleView]:
    """Pause a schedule of any user."""
    return Call("POST", f"{_schedule(name, user)}/pause", models.ScheduleView)


def resume_schedule_of(user: str, name: str) -> Call[models.ScheduleView]:
    """Resume a schedule of any user."""
    return Call("POST", f"{_schedule(name, user)}/resume", models.ScheduleView)


def delete_schedule_of(user: str, name: str) -> Call[None]:
    """Delete a schedule of any user."""
    return Call("DELETE", _schedule(name, user), type(None))


def webhooks_of(user: str) -> Call[models.WebhookList]:
    """List the webhooks of any user."""
    return Call("GET", f"/api/admin/users/{_segment(user)}/webhooks", models.WebhookList)


def enable_webhook_of(user: str, webhook_id: str) -> Call[models.WebhookView]:
    """Enable any user's webhook that an administrator has disabled."""
    path = f"/api/admin/users/{_segment(user)}/webhooks/{_segment(webhook_id)}/enable"
    return Call("POST", path, models.WebhookView)


def disable_webhook_of(user: str, webhook_id: str) -> Call[models.WebhookView]:
    """Let a webhook of any user get no more deliveries."""
    path = f"/api/admin/users/{_segment(user)}/webhooks/{_segment(webhook_id)}/disable"
    return Call("POST", path, models.WebhookView)


def set_role(user: str, role: str) -> Call[None]:
    """Change a user's role."""
    return Call("PUT", f"/api/admin/users/{_segment(user)}/role", type(None), {"role": role})


def batches(
    requests: Iterable[tuple[str, Any] | models.Request], key: str | None
) -> Iterator[Call[models.AcceptedBatch]]:
    """Cut any number of requests into batches, in order.

    With a `key` each batch has a key of its own, made from it and the batch's number: sending the same requests again under
    the same key goes on where an earlier call broke off, and enqueues nothing twice.
    """
    batch: list[models.Request] = []
    size, number = 0, 0
    for request in itertools.starmap(models.Request, requests):
        length = len(msgspec.json.encode(request.request))
        if batch and (len(batch) == BATCH_REQUESTS or size + length > BATCH_BYTES):
            yield enqueue_batch(batch, key and f"{key}.{number}")
            batch, size, number = [], 0, number + 1
        batch.append(request)
        size += length
    if batch:
        yield enqueue_batch(batch, key and f"{key}.{number}")


def _body(request: models.Request) -> dict[str, Any]:
    """A request as the API takes it."""
    optional = _given(
        delay=request.delay,
        not_before=request.not_before and request.not_before.isoformat(),
        unique_key=request.unique_key,
    )
    return {"type": request.type, "request": request.request} | optional


def _idempotent(key: str | None) -> dict[str, str]:
    return {"idempotency-key": key or uuid.uuid4().hex}


def _listing(filters: models.JobFilters, limit: int, cursor: str | None) -> dict[str, Any]:
    """Query parameters of a list of jobs."""
    given: dict[str, Any] = dict(filters)
    oldest_first = given.pop("oldest_first", False)
    ids = given.get("job_id")
    if ids is not None and not isinstance(ids, str):
        given["job_id"] = list(ids)
    if given.get("job_id") == []:
        raise ValueError("`job_id` is empty: give the id of at least one job, or leave it out to list all")
    for name in ("since", "until"):
        if given.get(name) is not None:
            given[name] = given[name].isoformat()
    order = {"order": "oldest", "after": cursor} if oldest_first else {"before": cursor}
    return _given(**given, **order, limit=limit)


def _operation(body: Mapping[str, Any]) -> dict[str, Any]:
    """What to do, as the API takes it."""
    given = _given(**body)
    for name in ("since", "until", "as_of"):
        if name in given:
            given[name] = given[name].isoformat()
    return given


def _given(**params: Any) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}


def _segment(text: str) -> str:
    """One segment of a path, whatever the caller passed."""
    return quote(text, safe="")


def _schedule(name: str, user: str | None = None) -> str:
    """The path of one of the caller's schedules, or of any user's for administrators."""
    owner = "/api" if user is None else f"/api/admin/users/{_segment(user)}"
    return f"{owner}/schedules/{_segment(name)}"


def _dead_letter(user: str, job_id: str) -> str:
    return f"/api/admin/dead-letters/{_segment(user)}/{_segment(job_id)}"
