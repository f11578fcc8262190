"""The client: what a program needs to enqueue requests and to read what became of them.

    from laneway import Client

    with Client("http://127.0.0.1:8000", username="ann", password="correct horse battery") as client:
        job = client.enqueue("wordcount", {"text": "to be or not to be"})
        print(job.wait(timeout_seconds=30).result)

`Client` and `AsyncClient` have the same methods: `synchronous` is written from `asynchronous` by a program. Both are thin:
`calls` says what each method sends and how its answer reads, `errors` maps problem documents to exceptions, `retrying`
decides what is sent again and when. Nothing here imports the server.
"""

from __future__ import annotations

from laneway.client.asynchronous.client import AsyncClient
from laneway.client.asynchronous.job import AsyncJob
from laneway.client.asynchronous.operation import AsyncOperation
from laneway.client.errors import (
    ClientError,
    Conflict,
    Forbidden,
    JobNotEnded,
    NotFound,
    OperationNotEnded,
    RequestRefused,
    ServerUnavailable,
    TooManyRequests,
    Unauthorized,
)
from laneway.client.models import (
    Account,
    Count,
    Event,
    Issuer,
    JobFilters,
    JobLog,
    JobPage,
    JobView,
    KeyView,
    LastDelivery,
    LoggedRun,
    Login,
    LogLine,
    NewKey,
    NewWebhook,
    OperationView,
    QueueView,
    Request,
    ScheduleView,
    TypeView,
    WaysToLogIn,
    WebhookView,
    Why,
)
from laneway.client.synchronous.client import Client
from laneway.client.synchronous.job import Job
from laneway.client.synchronous.operation import Operation

__all__ = [
    "Account",
    "AsyncClient",
    "AsyncJob",
    "AsyncOperation",
    "Client",
    "ClientError",
    "Conflict",
    "Count",
    "Event",
    "Forbidden",
    "Issuer",
    "Job",
    "JobFilters",
    "JobLog",
    "JobNotEnded",
    "JobPage",
    "JobView",
    "KeyView",
    "LastDelivery",
    "LogLine",
    "LoggedRun",
    "Login",
    "NewKey",
    "NewWebhook",
    "NotFound",
    "Operation",
    "OperationNotEnded",
    "OperationView",
    "QueueView",
    "Request",
    "RequestRefused",
    "ScheduleView",
    "ServerUnavailable",
    "TooManyRequests",
    "TypeView",
    "Unauthorized",
    "WaysToLogIn",
    "WebhookView",
    "Why",
]
