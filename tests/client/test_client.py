"""The clients against the real API: `Client` and `AsyncClient` do the same, so each test runs with both."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from docs import synchronous_client
from laneway import client as laneway_client
from laneway.client import (
    AsyncClient,
    Client,
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
from laneway.client.asynchronous.admin import AsyncAdmin
from laneway.client.asynchronous.job import AsyncJob
from laneway.client.synchronous.admin import Admin
from laneway.client.synchronous.job import Job
from laneway.dev.embedded import free_port
from laneway.lanes.commands import Finish, Log, NewLines
from laneway.lanes.model import JobState, Lease, Outcome
from laneway.lanes.run_log import LogLine, encode_run, line, newest
from laneway.storage.users import Role
from tests.api.running import Api, wait_for
from tests.client.every_call import every_call

MOMENTS = itertools.count(1)
PASSWORD = "correct horse battery"
COUNTING: Any = {"dry_run": True}
"""What no type lets through: the API starts no operation then."""


class Either:
    """One of the two clients, called without an event loop of the test's own."""

    def __init__(
        self, kind: type[Client | AsyncClient], loop: asyncio.AbstractEventLoop, **options: Any
    ) -> None:
        self._loop = loop
        self.inner = kind(**options)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *args, **options: self.finish(getattr(self.inner, name)(*args, **options))

    def finish(self, value: Any) -> Any:
        """The value; of a coroutine its result, of a generator all that it yields."""
        if inspect.isasyncgen(value):
            return self._loop.run_until_complete(_all(value))
        if inspect.iscoroutine(value):
            return self._loop.run_until_complete(value)
        return list(value) if inspect.isgenerator(value) else value

    def first(self, generator: Any) -> Any:
        """The first value of a generator, which is closed."""
        if inspect.isgenerator(generator):
            with closing(generator):
                return next(generator)
        first = self._loop.run_until_complete(anext(generator))
        self._loop.run_until_complete(generator.aclose())
        return first

    def each(self, generator: Any, act: Callable[[Any], object]) -> None:
        """Call `act` with each value of a generator."""
        if inspect.isgenerator(generator):
            for value in generator:
                act(value)
            return

        async def run() -> None:
            async for value in generator:
                act(value)

        self._loop.run_until_complete(run())

    @contextmanager
    def block(self, manager: Any) -> Iterator[Any]:
        """The block of a context manager."""
        if hasattr(manager, "__enter__"):
            with manager as value:
                yield value
            return
        value = self._loop.run_until_complete(manager.__aenter__())
        yield value
        self._loop.run_until_complete(manager.__aexit__(None, None, None))


async def _all(generator: Any) -> list[Any]:
    return [item async for item in generator]


@pytest.fixture(params=[Client, AsyncClient])
def make(request: pytest.FixtureRequest) -> Iterator[Callable[..., Either]]:
    loop = asyncio.new_event_loop()
    made: list[Either] = []

    def build(**options: Any) -> Either:
        made.append(Either(request.param, loop, **options))
        return made[-1]

    yield build
    for either in made:
        either.close()
    loop.close()


def of(api: Api, make: Callable[..., Either], user: str, **options: Any) -> Either:
    token = api.auth(user)["authorization"].removeprefix("Bearer ")
    return make(url=api.url, token=token, **options)


def test_register_log_in_log_out(api: Api, make: Callable[..., Either]) -> None:
    user = api.user()
    client = make(url=api.url, username=user, password=PASSWORD)
    client.register(user, PASSWORD)
    token = client.login()
    assert client.queue().queued == 0
    client.logout()
    with pytest.raises(Unauthorized):
        make(url=api.url, token=token).queue()
    assert client.queue().running == 0, "it logs in again when it has a password"


def test_a_revoked_token_is_replaced_when_there_is_a_password(api: Api, make: Callable[..., Either]) -> None:
    user = api.user()
    client = make(url=api.url, username=user, password=PASSWORD)
    client.register(user, PASSWORD)
    token = client.login()
    make(url=api.url, token=token).logout()
    assert client.queue().queued == 0


def test_a_job_can_be_delayed(api: Api, make: Callable[..., Either]) -> None:
    client = of(api, make, api.user())
    moment = datetime.now(UTC) + timedelta(hours=1)
    assert client.finish(client.enqueue("echo", 1, not_before=moment).look()).not_before == moment
    view = client.finish(client.enqueue("echo", 1, delay=600).look())
    assert view.not_before == view.enqueued_at > datetime.now(UTC)
    many = [("echo", 1), laneway_client.Request("echo", 2, delay=600)]
    jobs = [client.finish(job.look()) for job in client.enqueue_many(many)]
    assert [(job.request, job.not_before is None) for job in jobs] == [(1, True), (2, False)]
    assert (client.queue().queued, client.queue().delayed) == (1, 3)
    assert client.why(jobs[1].job_id).reason == "delayed"


def test_a_job_from_enqueue_to_its_end(api: Api, make: Callable[..., Either]) -> None:
    user = api.user()
    client = of(api, make, user)
    job = client.enqueue("echo", {"n": 2**63 - 1, "text": "ä"})
    view = client.finish(job.look())
    assert (view.job_id, view.state, view.request) == (job.id, "queued", {"n": 2**63 - 1, "text": "ä"})
    with pytest.raises(JobNotEnded):
        client.finish(job.wait(timeout_seconds=0.05))
    (lease,) = api.start(user)
    api.lanes.finish(lease, body=b"[1]")
    ended = client.finish(job.wait(timeout_seconds=10))
    assert (ended.state, ended.result, ended.ended) == ("succeeded", [1], True)
    with pytest.raises(Conflict):
        client.finish(job.cancel())


def test_why_a_job_has_not_started(api: Api, make: Callable[..., Either]) -> None:
    client = of(api, make, api.user())
    client.enqueue("echo", 1)
    job = client.enqueue("echo", 2)
    explained = client.finish(job.why())
    assert explained.reason in ("behind", "no-worker")
    assert explained.facts.in_front == 1
    with pytest.raises(NotFound):
        client.why("0" * 25)


def finish(api: Api, lease: Lease, *texts: str, state: JobState = JobState.SUCCEEDED) -> None:
    log = encode_run(lease.attempt, 1, "w1", lines(*texts))
    assert api.lanes.run(Finish("w1", [Outcome(lease, state, 1, b"1", 0, log)])) == [True]


def log(api: Api, lease: Lease, *texts: str, first: int = 1) -> None:
    new = lines(*texts, first=first)
    assert api.lanes.run(Log([NewLines(lease, newest(new), 200)])) == [True]


def lines(*texts: str, first: int = 1) -> list[LogLine]:
    return [line(number, next(MOMENTS), "info", text) for number, text in enumerate(texts, first)]


def test_what_a_job_has_logged(api: Api, make: Callable[..., Either]) -> None:
    user = api.user()
    client = of(api, make, user)
    job = client.enqueue("echo")
    assert client.logs(job.id).runs == []
    (lease,) = api.start(user)
    finish(api, lease, "one", "two")
    log = client.finish(job.logs())
    assert (log.job_id, log.dropped_runs) == (job.id, 0)
    (run,) = log.runs
    assert (run.attempt, run.state, run.worker) == (1, "ended", "w1")
    assert [(one.number, one.level, one.text) for one in run.lines] == [
        (1, "info", "one"),
        (2, "info", "two"),
    ]
    assert admin_of(api, make)("logs", user, job.id) == log
    with pytest.raises(NotFound):
        client.logs("0" * 25)


def test_a_log_is_followed_to_the_end_of_its_job_with_each_line_once(
    api: Api, make: Callable[..., Either]
) -> None:
    user = api.user()
    client = of(api, make, user)
    job = client.enqueue("echo")
    (lease,) = api.start(user)
    log(api, lease, "before anybody looked")
    seen: list[str] = []

    def work() -> None:
        wait_for(lambda: seen == ["before anybody looked"])
        log(api, lease, "live", first=2)
        wait_for(lambda: seen[-1] == "live")
        log(api, lease, "after a gap", first=9)
        wait_for(lambda: seen[-1] == "after a gap")
        finish(api, lease, "before anybody looked", "live", *"345678", "after a gap", state=JobState.RETRYING)
        (again,) = api.start(user)
        log(api, again, "again")
        finish(api, again, "again", "at last")

    working = threading.Thread(target=work)
    working.start()
    client.each(job.follow_log(), lambda line: seen.append(line.text))
    working.join()
    assert seen == ["before anybody looked", "live", "after a gap", "again", "at last"]


def test_the_same_key_returns_the_same_job(api: Api, make: Callable[..., Either]) -> None:
    client = of(api, make, api.user())
    assert client.enqueue("echo", 1, key="k").id == client.enqueue("echo", 1, key="k").id
    assert client.enqueue("echo", 1).id != client.enqueue("echo", 1).id
    with pytest.raises(RequestRefused) as refused:
        client.enqueue("echo", 2, key="k")
    assert refused.value.slug == "idempotency-mismatch"


def test_a_unique_key_makes_one_job_at_a_time(api: Api, make: Callable[..., Either]) -> None:
    user = api.user()
    client = of(api, make, user)
    first, again = (client.enqueue("echo", n, unique_key="k") for n in (1, 2))
    assert (first.duplicate, again.duplicate, again.id == first.id) == (False, True, True)
    assert client.job(first.id).unique_key == "k"
    requests = [
        laneway_client.Request("echo", n, unique_key=key) for n, key in enumerate(["k", "l", None, "l"])
    ]
    jobs = list(client.enqueue_many(requests))
    assert [job.duplicate for job in jobs] == [True, False, False, True]
    assert (jobs[0].id, jobs[3].id) == (first.id, jobs[1].id)
    api.lanes.finish(*api.start(user))
    second = client.enqueue("echo", 3, unique_key="k")
    assert not second.duplicate
    with pytest.raises(Conflict) as refused:
        client.run_again(first.id)
    assert refused.value.slug == "unique-key-taken"
    assert client.put_schedule("s", "echo", every_seconds=60, unique_key="k").unique_key == "k"
    with pytest.raises(Conflict):
        client.run_schedule("s")


def test_any_number_of_requests_keep_their_order(api: Api, make: Callable[..., Either]) -> None:
    client = of(api, make, api.user())
    requests = [("echo", n) for n in range(2500)]
    first = client.enqueue_many(iter(requests[:1000]), key="upload")
    everything = client.enqueue_many(iter(requests), key="upload")
    ids = [job.id for job in everything]
    assert ids[:1000] == [job.id for job in first], "what an earlier call has sent is not sent twice"
    assert ids == sorted(set(ids))
    assert client.queue().queued == 2500
    listed = [view.job_id for view in client.jobs(state="queued")]
    assert listed == ids[::-1]


def test_cancel_and_what_is_unknown(api: Api, make: Callable[..., Either]) -> None:
    client = of(api, make, api.user())
    job = client.enqueue("echo", None)
    assert client.finish(job.cancel()).state == "cancelled"
    with pytest.raises(NotFound):
        client.job("0" * 25)
    with pytest.raises(RequestRefused) as refused:
        client.enqueue("no-such-type", None)
    assert refused.value.errors or refused.value.slug == "unknown-type"


def test_a_job_is_watched_to_its_end(api: Api, make: Callable[..., Either]) -> None:
    user = api.user()
    client = of(api, make, user)
    job = client.enqueue("echo")
    api.enqueue(user)  # another one

    def work() -> None:
        wait_for(lambda: api.lanes.client.exists(api.lanes.key(f"backlog:{user}")))
        first, other = api.start(user)
        api.lanes.finish(other)
        api.lanes.finish(first)

    working = threading.Thread(target=work)
    working.start()
    seen = client.finish(job.watch())
    working.join()
    assert {event.job_id for event in seen} == {job.id}
    assert seen[-1].state == "succeeded"
    assert [event.state for event in client.finish(job.watch())] == ["succeeded"], "it has ended already"


def test_watching_begins_with_connected(api: Api, make: Callable[..., Either]) -> None:
    client = of(api, make, api.user())
    first = client.first(client.inner.watch())
    assert (first.event, first.on_disconnect) == ("connected", None)
    assert not client.queue().connected


def test_presence_lasts_as_long_as_the_block(api: Api, make: Callable[..., Either]) -> None:
    client = of(api, make, api.user())
    with client.block(client.inner.connect()) as first:
        assert (first.on_disconnect.policy, first.on_disconnect.grace_seconds) == ("purge", 60)
        assert client.queue().connected
    wait_for(lambda: not client.queue().connected)


def test_presence_that_cannot_begin_raises(api: Api, make: Callable[..., Either]) -> None:
    client = make(url=api.url, token="not.a.token")
    with pytest.raises(Unauthorized), client.block(client.inner.connect()):
        pass


def test_a_stream_that_ends_goes_on_where_it_ended(make: Callable[..., Either]) -> None:
    """Against a server of canned answers: it breaks off, is away, and comes back."""
    answers = [
        httpx2.Response(
            200, text='id: 1-0\ndata: {"event":"connected"}\n\nid: 2-0\ndata: {"event":"state"}\n\n'
        ),
        httpx2.Response(503, headers={"retry-after": "0.05"}, json={}),
        httpx2.Response(200, text='data: {"event":"missed"}\n\n'),
        httpx2.Response(401, json={"type": "urn:laneway:problem:invalid-token"}),
    ]
    sent: list[str | None] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request.headers.get("last-event-id"))
        response = answers[len(sent) - 1]
        if response.is_success:
            response.headers["content-type"] = "text/event-stream"
        return response

    client = make(url="http://api", token="t")
    kind = httpx2.Client if isinstance(client.inner, Client) else httpx2.AsyncClient
    client.inner._http = kind(base_url="http://api", transport=httpx2.MockTransport(answer))
    seen: list[str] = []
    with pytest.raises(Unauthorized):
        client.each(client.inner.watch(), lambda event: seen.append(event.event))
    assert seen == ["connected", "state", "missed"]
    assert sent == [None, "2-0", "2-0", "2-0"]


def test_what_cannot_be_reached_is_tried_again_for_a_while(make: Callable[..., Either]) -> None:
    client = make(url=f"http://127.0.0.1:{free_port()}", token="t", retry_seconds=0.3)
    with pytest.raises(ServerUnavailable, match="cannot be reached"):
        client.queue()


def test_the_server_says_when_to_come_again() -> None:
    """Against a server of canned answers: the retries are the client's own."""
    answers = [
        httpx2.Response(429, headers={"retry-after": "0.05"}, json={"type": "urn:laneway:problem:lane-full"}),
        httpx2.Response(503, text="<html>a proxy</html>"),
        httpx2.Response(200, json={"job_id": "1" * 25, "position": 1}),
    ]
    sent: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request)
        return answers[len(sent) - 1]

    with Client("http://api", token="t") as client:
        client._http = httpx2.Client(base_url="http://api", transport=httpx2.MockTransport(answer))
        assert client.enqueue("echo", 1).id == "1" * 25
    assert len({request.headers["idempotency-key"] for request in sent}) == 1, "repeated under the same key"
    with Client("http://api", token="t", retry_seconds=0.001) as client:
        client._http = httpx2.Client(
            base_url="http://api", transport=httpx2.MockTransport(lambda _: answers[0])
        )
        with pytest.raises(TooManyRequests) as refused:
            client.enqueue("echo", 1)
    assert (refused.value.slug, refused.value.retry_after_seconds) == ("lane-full", 0.05)


def test_api_keys(api: Api, make: Callable[..., Either]) -> None:
    user = api.user()
    client = make(url=api.url, username=user, password=PASSWORD)
    client.register(user, PASSWORD)
    assert client.account().scopes is None
    key = client.create_api_key("importer", expires_in_seconds=None)
    program = make(url=api.url, token=key.key)
    assert program.account().scopes == ["enqueue", "read"]
    assert program.enqueue("echo", 1).id
    with pytest.raises(Forbidden):
        program.create_api_key("another")
    (listed,) = client.api_keys()
    assert (listed.key_id, listed.name, listed.expires_at) == (key.key_id, "importer", None)
    admin = admin_of(api, make)
    other = client.create_api_key("other")
    assert [found.key_id for found in admin("api_keys", user)] == [key.key_id, other.key_id]
    admin("revoke_api_key", user, other.key_id)
    with pytest.raises(NotFound):
        admin("revoke_api_key", user, other.key_id)
    with pytest.raises(Unauthorized):
        make(url=api.url, token=other.key).queue()
    client.revoke_api_key(key.key_id)
    with pytest.raises(Unauthorized):
        program.queue()
    with pytest.raises(NotFound):
        client.revoke_api_key(key.key_id)


def test_schedules(api: Api, make: Callable[..., Either]) -> None:
    user = api.user()
    client = make(url=api.url, token=api.tokens.issue(user, Role.USER))
    nightly = client.put_schedule("nightly", "echo", {"n": 1}, cron="0 3 * * *", time_zone="Europe/Berlin")
    assert (nightly.cron, nightly.time_zone, nightly.every_seconds) == ("0 3 * * *", "Europe/Berlin", None)
    hourly = client.put_schedule("hourly", "echo", every_seconds=3600, missed="skip")
    assert client.put_schedule("hourly", "echo", 2, every_seconds=3600).next_at == hourly.next_at
    assert [schedule.name for schedule in client.schedules()] == ["hourly", "nightly"]
    times = client.next_fire_times("nightly", 3)
    assert (len(times), times[0]) == (3, client.schedule("nightly").next_at)
    assert client.job(client.run_schedule("nightly", key="k").id).request == {"n": 1}
    assert client.run_schedule("nightly", key="k").id == client.run_schedule("nightly", key="k").id
    assert client.pause_schedule("nightly").paused
    assert not client.resume_schedule("nightly").paused
    with pytest.raises(RequestRefused, match="five fields"):
        client.put_schedule("wrong", "echo", cron="daily")
    client.delete_schedule("nightly")
    with pytest.raises(NotFound):
        client.schedule("nightly")
    admin = admin_of(api, make)
    assert [schedule.name for schedule in admin("schedules", user)] == ["hourly"]
    assert admin("pause_schedule", user, "hourly").paused
    assert not admin("resume_schedule", user, "hourly").paused
    admin("delete_schedule", user, "hourly")
    assert client.schedules() == []


def test_webhooks(api: Api, make: Callable[..., Either]) -> None:
    user = api.user()
    client = make(url=api.url, token=api.tokens.issue(user, Role.USER))
    webhook = client.create_webhook("http://127.0.0.1:9/", states=["failed"], types=["echo"])
    assert webhook.secret.startswith("whsec_")
    assert (webhook.states, webhook.types) == (["failed"], ["echo"])
    assert [found.webhook_id for found in client.webhooks()] == [webhook.webhook_id]
    assert client.rotate_webhook(webhook.webhook_id).secret != webhook.secret
    assert client.test_webhook(webhook.webhook_id).startswith(f"msg_{webhook.webhook_id}_")
    assert client.disable_webhook(webhook.webhook_id).disabled_reason == "you have disabled it"
    assert client.enable_webhook(webhook.webhook_id).last is None
    admin = admin_of(api, make)
    assert [found.url for found in admin("webhooks", user)] == ["http://127.0.0.1:9"]
    assert admin("disable_webhook", user, webhook.webhook_id).disabled_at
    assert client.webhook(webhook.webhook_id).waiting == 0
    with pytest.raises(Forbidden, match="ask an administrator"):
        client.enable_webhook(webhook.webhook_id)
    assert admin("enable_webhook", user, webhook.webhook_id).disabled_by is None
    with pytest.raises(RequestRefused, match="not public"):
        client.create_webhook("https://10.0.0.1/")
    client.delete_webhook(webhook.webhook_id)
    with pytest.raises(NotFound):
        client.webhook(webhook.webhook_id)


def test_the_password_and_the_account(api: Api, make: Callable[..., Either]) -> None:
    user = api.user()
    client = make(url=api.url, username=user, password=PASSWORD)
    client.register(user, PASSWORD)
    other = make(url=api.url, token=client.login())
    token = client.change_password(PASSWORD, "another horse battery")
    assert make(url=api.url, token=token).account().username == user
    with pytest.raises(Unauthorized):
        other.queue()
    client.logout()
    assert client.queue().queued == 0, "it logs in with the new password"
    with pytest.raises(RequestRefused, match="password"):
        client.delete_account(PASSWORD)
    client.delete_account("another horse battery")
    with pytest.raises(RequestRefused):
        client.queue()


def test_what_must_not_be_repeated_is_sent_once() -> None:
    sent: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request)
        return httpx2.Response(503)

    with Client("http://api", token="t") as client:
        client._http = httpx2.Client(base_url="http://api", transport=httpx2.MockTransport(answer))
        with pytest.raises(ServerUnavailable):
            client.create_api_key("importer")
    assert len(sent) == 1


def _public(kind: type) -> dict[str, list[str]]:
    return {
        name: list(inspect.signature(member).parameters)
        for name, member in inspect.getmembers(kind, callable)
        if not name.startswith("_")
    }


@pytest.mark.parametrize(("one", "other"), [(Client, AsyncClient), (Job, AsyncJob), (Admin, AsyncAdmin)])
def test_both_have_the_same_methods(one: type, other: type) -> None:
    assert _public(one) == _public(other)


def test_the_synchronous_client_is_written_from_the_asynchronous_one() -> None:
    for path, text in synchronous_client.written().items():
        assert path.read_text("utf-8") == text, f"make docs writes {path.name}"


def test_everything_exported_exists() -> None:
    assert all(hasattr(laneway_client, name) for name in laneway_client.__all__)


def test_types(api: Api, make: Callable[..., Either]) -> None:
    types = {type_.name: type_ for type_ in of(api, make, api.user()).types()}
    assert types["echo"].description == "Return the payload."
    assert types["thumbnail"].soft_time_limit_seconds == 60


# -- administrators ---------------------------------------------------------------------------------------------------


def admin_of(api: Api, make: Callable[..., Either]) -> Callable[..., Any]:
    """Calls a method of `client.admin`."""
    token = api.admin()["authorization"].removeprefix("Bearer ")
    either = make(url=api.url, token=token)
    return lambda name, *args: either.finish(getattr(either.inner.admin, name)(*args))


def test_an_administrator_and_a_lane(api: Api, make: Callable[..., Either]) -> None:
    user, admin = api.user(), admin_of(api, make)
    client = of(api, make, user)
    for _ in range(3):
        client.enqueue("echo", None)
    lane = {lane.user: lane for lane in admin("lanes")}[user]
    assert (lane.jobs, lane.slots) == (3, 5)
    assert {lane.user: lane for lane in admin("lanes", "user")}[user] == lane
    assert admin("lanes", "failures") is not None
    admin("pause", user)
    assert client.queue().paused
    assert next((entry.action, entry.user) for entry in admin("audit")) == ("lane_paused", user)
    admin("resume", user)
    admin("limit", user, 1)
    assert client.queue().slots == 1
    admin("limit", user, None)
    assert (client.queue().paused, client.queue().slots) == (False, 5)
    assert admin("purge", user) == 3
    with pytest.raises(Forbidden):
        client.finish(client.inner.admin.pause(user))


def test_an_administrator_and_jobs(api: Api, make: Callable[..., Either]) -> None:
    user, admin = api.user(), admin_of(api, make)
    first, second = api.enqueue(user, type="echo"), api.enqueue(user, {"text": ""}, type="wordcount")
    assert [job.job_id for job in admin("jobs", user)] == [second, first]
    assert admin("job", user, first).user == user
    assert admin("why", user, second).facts.in_front == 1
    client = of(api, make, user)
    assert [job.job_id for job in client.jobs(type="echo", state=["queued", "running"])] == [first]
    moment = client.job(second).enqueued_at
    assert [job.job_id for job in client.jobs(since=moment)] == [second]
    assert [job.job_id for job in client.jobs(until=moment, oldest_first=True)] == [first]
    page = client.page(limit=1, oldest_first=True)
    assert [job.job_id for job in client.page(cursor=page.next, oldest_first=True).jobs] == [second]
    assert [job.job_id for job in client.jobs(job_id=[first, second, "0" * 25])] == [second, first]
    assert [job.job_id for job in client.jobs(job_id=first)] == [first]
    assert [job.job_id for job in client.jobs(job_id=(first,))] == [first]
    with pytest.raises(ValueError, match="is empty"):
        list(client.jobs(job_id=()))


def test_an_administrator_and_dead_letters(api: Api, make: Callable[..., Either]) -> None:
    user, admin = api.user(), admin_of(api, make)
    ids = [api.end(user, JobState.FAILED, b'{"type":"E","message":"m"}') for _ in range(2)]
    api.archive()
    assert [job.job_id for job in admin("dead_letters", user)] == ids
    again = admin("retry_dead_letter", user, ids[0])
    assert of(api, make, user).job(again.job_id).state == "queued"
    admin("drop_dead_letter", user, ids[1])
    assert admin("dead_letters", user) == []
    with pytest.raises(NotFound):
        admin("drop_dead_letter", user, ids[1])


def test_an_administrator_and_many_dead_letters(api: Api, make: Callable[..., Either]) -> None:
    user, admin = api.user(), admin_of(api, make)
    ids = [api.end(user, JobState.FAILED, b'{"type":"E","message":"m"}') for _ in range(3)]
    client = of(api, make, user)
    assert client.run_again(ids[0]).id != ids[0]
    with pytest.raises(Conflict):
        client.run_again(api.enqueue(user))
    api.archive()
    either = make(url=api.url, token=api.admin()["authorization"].removeprefix("Bearer "))
    inner: Any = either.inner.admin
    assert either.finish(inner.count_matching("retry", user=user, type="echo")).count == 3
    (group,) = either.finish(inner.failures(user)).groups
    assert (group.failure, group.count, group.example.user) == ("E: m", 3, user)
    assert either.finish(inner.count_matching("drop", user=user, failure=group.failure)).count == 3
    with pytest.raises(ValueError, match="count_matching"):
        either.finish(inner.start_operation("drop", user=user, **COUNTING))
    operation = either.finish(inner.start_operation("drop", user=user, failure="another"))
    assert either.finish(operation.wait(30)).done == 0
    operation = either.finish(inner.start_operation("retry", user=user))
    done = either.finish(operation.wait(30))
    assert (done.state, done.done, done.user) == ("finished", 3, user)
    assert admin("dead_letters", user) == []
    assert client.queue().queued == 5
    assert operation.id in [one.operation_id for one in admin("operations")]
    with pytest.raises(Conflict):
        either.finish(operation.cancel())


def test_an_operation_on_own_jobs(api: Api, make: Callable[..., Either]) -> None:
    user = api.user()
    client = of(api, make, user)
    for _ in range(3):
        api.enqueue(user)
    counted = client.count_matching("cancel", state=["queued"], since=datetime.now(UTC) - timedelta(hours=1))
    assert (counted.count, counted.at_least) == (3, False)
    api.enqueue(user)
    either = make(url=api.url, token=api.auth(user)["authorization"].removeprefix("Bearer "))
    with pytest.raises(ValueError, match="count_matching"):
        either.finish(either.inner.start_operation("cancel", **COUNTING))
    operation = either.finish(either.inner.start_operation("cancel", as_of=counted.as_of))
    assert re.fullmatch(r"(Async)?Operation\('[0-9a-f]{21}'\)", repr(operation))
    done = either.finish(operation.wait())
    assert (done.done, done.total, done.reasons, done.ended) == (3, 3, [], True)
    assert client.queue().queued == 1
    assert [one.operation_id for one in client.operations()] == [operation.id]
    waits = {"state": "running", "is_selected": True, "pending": [], "held_until_us": 2**51}
    api.mongo()["operations"].update_one({"_id": operation.id}, {"$set": waits})
    with pytest.raises(OperationNotEnded):
        either.finish(operation.wait(0.01))
    assert either.finish(operation.cancel()).state == "cancelled"


def test_an_administrator_and_the_deployment(api: Api, make: Callable[..., Either]) -> None:
    admin = admin_of(api, make)
    found = admin("overview")
    assert found.until - found.since < timedelta(seconds=found.step_seconds * len(found.points))
    assert found.total.accepted >= found.points[-1].accepted
    assert found.now.lanes >= 0
    assert not admin("workers").truncated
    user = api.user()
    api.lanes.enqueue(user)
    ring = admin("ring")
    assert (len(ring.lanes), len(admin("ring", 1).lanes)) == (ring.length, 1)
    (lane,) = [lane for lane in ring.lanes if lane.user == user]
    assert (lane.jobs, lane.taken, lane.slots) == (1, 0, 5)
    assert lane.since < ring.at
    assert admin("pools").pools == []
    assert len(admin("overview", found.until - timedelta(minutes=9), found.until).points) in (9, 10)


def test_an_administrator_and_users(api: Api, make: Callable[..., Either]) -> None:
    user, admin = api.user(), admin_of(api, make)
    make(url=api.url).register(user, PASSWORD)
    admin("set_role", user, "admin")
    assert {found.username: found.role for found in admin("users")}[user] == "admin"
    (found,) = admin("users", user[:-1])
    assert (found.username, found.jobs, found.last_login_at) == (user, 0, None)
    with pytest.raises(NotFound):
        admin("set_role", "nobody-of-this-name", "admin")


NOT_CALLED = {
    ("get", "/healthz"),
    ("get", "/readyz"),
}
"""For probes."""


def test_every_operation_of_the_api_has_a_method(api: Api) -> None:
    document = api.http.get("/openapi.json").json()
    documented = {
        (method, re.sub(r"\{\w+\}", "ID", path))
        for path, methods in document["paths"].items()
        for method in methods
    }
    ours = {(call.method.lower(), call.path) for call in every_call()}
    assert documented - NOT_CALLED == ours
