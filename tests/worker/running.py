"""A worker as a real process, and the lanes that it serves, as the tests see them."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import orjson
import pymongo
import redis

from laneway.dev.embedded import free_port
from laneway.lanes.commands import Enqueue, InspectJob, InspectLane, Limit
from laneway.lanes.keys import Keys
from laneway.lanes.model import ID_LENGTH, Job, JobState, Lease, NewJob
from laneway.lanes.store import Lanes, connect
from tests.conftest import drop_from_given_server
from tests.worker import notes as notes_module
from tests.worker.notes import Notes

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
READY_SECONDS = 60
POLL_SECONDS, POLL_MAX_SECONDS = 0.005, 0.05
"""Between two looks at a condition: the longer it takes anyway, the rarer. The processors have better things to do."""
_MARK = "WORKER_TEST_MARK"


def wait_for(
    condition: Callable[[], T], seconds: float = 20, *, what: Callable[[], object] = lambda: ""
) -> T:
    """The first truthy value of `condition`; fails after `seconds`, saying `what`."""
    began = time.monotonic()
    while not (value := condition()):
        waited = time.monotonic() - began
        assert waited < seconds, f"not within {seconds} s: {what() or value!r}"
        time.sleep(min(max(POLL_SECONDS, waited / 10), POLL_MAX_SECONDS))
    return value


@lru_cache(maxsize=4)
def _lanes(redis_url: str, prefix: str) -> Lanes:
    """Those of the last tests keep their connections: each wait asks a hundred times a second."""
    return Lanes(connect(redis_url), Keys(prefix))


@dataclass(frozen=True, slots=True)
class System:
    """The servers and names of one test (or of the tests that share a worker)."""

    redis_url: str
    prefix: str
    folder: Path
    mongo: tuple[str, str] | None = None
    """URL and database, where a janitor archives."""

    @property
    def keys(self) -> Keys:
        return Keys(self.prefix)

    @property
    def notes(self) -> Notes:
        return Notes(self.folder)

    @property
    def lanes(self) -> Lanes:
        return _lanes(self.redis_url, self.prefix)

    def user(self, slots: int | None = None) -> str:
        """A user whom no other test has."""
        name = "u" + secrets.token_hex(6)
        if slots is not None:
            self.lanes.run(Limit(name, slots))
        return name

    def enqueue(
        self, user: str, type_: str, *requests: Any, attempts: int = 3, delay: float = 0
    ) -> list[str]:
        """The ids, in order."""
        new = [
            NewJob(secrets.token_hex(6), type_, orjson.dumps(request), attempts, delay)
            for request in requests
        ]
        lanes = self.lanes
        return [
            i for at in range(0, len(new), 500) for i in lanes.run(Enqueue(user, new[at : at + 500])).job_ids
        ]

    def job(self, user: str, job_id: str) -> Job:
        return self.jobs(user, [job_id])[0]

    def jobs(self, user: str, job_ids: Sequence[str]) -> list[Job]:
        """From Redis, or from MongoDB where the janitor has brought them there."""
        found = self.lanes.run_all([InspectJob(user, job_id) for job_id in job_ids])
        if self.mongo and None in found:
            archived = self._archived(user)
            found = [job or archived[job_id] for job, job_id in zip(found, job_ids, strict=True)]
        return found

    def _archived(self, user: str) -> dict[str, Job]:
        assert self.mongo
        with pymongo.MongoClient[dict[str, Any]](self.mongo[0]) as client:
            found = client[self.mongo[1]]["history"].find({"user": user})
            return {
                document["_id"][-ID_LENGTH:]: Job(
                    job_id=document["_id"][-ID_LENGTH:],
                    state=JobState(document["state"]),
                    user=document["user"],
                    type=document["type"],
                    request=document["request"],
                    attempts=document["attempts"],
                    max_attempts=document["max_attempts"],
                    result=document.get("result"),
                    error=document.get("error"),
                )
                for document in found
            }

    def ended(self, user: str, job_ids: Sequence[str], seconds: float = 20) -> list[Job]:
        """The jobs, once all have ended."""
        jobs: list[Job] = []

        def all_ended() -> bool:
            jobs[:] = self.jobs(user, job_ids)
            return all(job.state.ended for job in jobs)

        wait_for(
            all_ended,
            seconds,
            what=lambda: [(j.job_id, j.state.value, j.attempts) for j in jobs if not j.state.ended][:20],
        )
        return jobs

    def learn(self, type_: str = "light") -> None:
        """Serve many jobs of a type, so that every process knows how fast it is and takes large batches."""
        users = [self.user() for _ in range(40)]
        for user in users:
            self.enqueue(user, type_, *[{"ms": 0}] * 50)
        for user in users:
            wait_for(lambda user=user: self.view(user).queued + self.view(user).running == 0, 60)  # type: ignore[misc]

    def leases(self) -> int:
        """Jobs that are claimed or run."""
        return int(self.lanes.client.zcard(self.keys.leases))

    def held_leases(self, user: str, type_: str) -> list[Lease]:
        """The leases of a user's jobs, as their worker holds them; each job's first attempt."""
        handles: Any = self.lanes.client.zrange(self.keys.leases, 0, -1)
        pairs = [handle.decode().split(":") for handle in handles]
        mine = [(token, job_id) for token, job_id in pairs if self.lanes.run(InspectJob(user, job_id))]
        return [Lease(token, user, job_id, type_, b"", 1, 3, suspect=False) for token, job_id in mine]

    def await_starts(self, count: int, *users: str, seconds: float = 20) -> None:
        wait_for(
            lambda: self.notes.count("start", *users) >= count,
            seconds,
            what=lambda: self.notes.count("start", *users),
        )

    def view(self, user: str) -> Any:
        return self.lanes.run(InspectLane(user))


class Worker:
    """`python -m laneway.worker`; `settings` become LANEWAY_* variables."""

    def __init__(self, system: System, **settings: object) -> None:
        self.system = system
        self.processes = int(str(settings.get("worker_processes", 2)))
        self.port = free_port()
        self._mark = secrets.token_hex(8)
        self._log = system.folder / f"worker-{self._mark}.log"
        mongo_url, database = system.mongo or ("mongodb://127.0.0.1:1", "none")
        values = {
            "redis_url": system.redis_url,
            "mongo_url": mongo_url,
            "mongo_database": database,
            "key_prefix": system.prefix,
            "handlers": "tests.worker.handlers,laneway.handlers.demo",
            "worker_processes": self.processes,
            "worker_metrics_port": self.port,
            "lease_seconds": 30,
            "backoff_seconds": 0.2,
            "janitor": system.mongo is not None,
            **settings,
        }
        env = {name: value for name, value in os.environ.items() if not name.startswith("LANEWAY_")}
        env |= {f"LANEWAY_{name.upper()}": str(value) for name, value in values.items()}
        env |= {notes_module.FOLDER: str(system.folder), _MARK: self._mark, "TMPDIR": str(system.folder)}
        env["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [env.get("PYTHONPATH")])])
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "laneway.worker"],
                env=env,
                cwd=system.folder,  # not the root, where a developer may have a .env
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Of the supervisor."""
        return self.process.pid

    @property
    def lease_keeper(self) -> int:
        return next(pid for pid in _children(self.pid) if b"lease_keeper" in _command(pid))

    @property
    def celery(self) -> int:
        """Of Celery's main process."""
        return next(pid for pid in _children(self.pid) if b"laneway.worker.celery.app" in _command(pid))

    @property
    def pool(self) -> list[int]:
        """Of the processes that run jobs."""
        return _children(self.celery)

    def everything(self) -> list[int]:
        """All of its processes that live, also those that lost their parent."""
        return [int(path.name) for path in Path("/proc").glob("[0-9]*") if self._is_mine(path)]

    def _is_mine(self, path: Path) -> bool:
        try:
            if f"{_MARK}={self._mark}".encode() not in (path / "environ").read_bytes().split(b"\0"):
                return False
            return (path / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    def metric(self, name: str) -> float:
        """Of /metrics; `name` with its labels. 0 if it is not there."""
        text = self._get("/metrics")
        return next((float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"{name} ")), 0)

    def in_flight(self) -> int:
        return int(orjson.loads(self._get("/in-flight"))["in_flight"])

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            return str(answer.read().decode())

    def ready(self) -> bool:
        """Whether all processes of the pool are there."""
        assert self.process.poll() is None, f"the worker ended with {self.process.returncode}:\n{self.tail()}"
        with contextlib.suppress(OSError):
            return self.metric("laneway_worker_pool_processes") == self.processes
        return False

    def await_ready(self, seconds: float = READY_SECONDS) -> None:
        wait_for(self.ready, seconds, what=self.tail)

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged so far."""
        content = self._log.read_bytes()
        return [
            orjson.loads(line)
            for line in content[: content.rfind(b"\n") + 1].splitlines()
            if line[:1] == b"{"
        ]

    def raw_log(self) -> bytes:
        """Its output."""
        return self._log.read_bytes()

    def strays(self) -> list[bytes]:
        """Lines of its output that are none of a log."""
        return [line for line in self._log.read_bytes().splitlines() if line[:1] != b"{"]

    def logged(self, event: str) -> set[str]:
        """The jobs of which it has logged this event so far."""
        return {line["job_id"] for line in self.lines() if line["event"] == event}

    def tail(self) -> str:
        return self._log.read_text(errors="replace")[-4000:]

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def exit_code(self, seconds: float = 30) -> int:
        """Of the supervisor, once it and all the others have ended."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the worker did not end within {seconds} s:\n{self.tail()}") from None
        wait_for(
            lambda: not self.everything(), 5, what=lambda: {pid: _command(pid) for pid in self.everything()}
        )
        return code

    def signal_all(self, number: int) -> None:
        for pid in self.everything():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def end(self) -> None:
        """Kill whatever is left of it."""
        while self.everything():
            self.signal_all(signal.SIGKILL)
            time.sleep(POLL_SECONDS)
        self.process.wait(10)


@contextlib.contextmanager
def running(system: System, *, wait: bool = True, **settings: object) -> Iterator[Worker]:
    """A worker that is ready, and is gone afterwards whatever happens."""
    worker = Worker(system, **settings)
    try:
        if wait:
            worker.await_ready()
        yield worker
    finally:
        worker.end()


@contextlib.contextmanager
def fresh(redis_url: str, folder: Path, mongo: tuple[str, str] | None = None) -> Iterator[System]:
    """A key prefix that nobody else has. A server that was given is left without its keys."""
    system = System(redis_url, "t" + secrets.token_hex(8), folder, mongo)
    try:
        yield system
    finally:
        if "LANEWAY_TEST_REDIS_URL" in os.environ:
            with redis.Redis.from_url(redis_url) as client:
                for key in client.scan_iter(match=f"{{{system.prefix}:*", count=1000):
                    client.unlink(key)


@contextlib.contextmanager
def database(mongo_url: str) -> Iterator[tuple[str, str]]:
    """URL and name of a database that nobody else has; on a server that was given, dropped at the end."""
    name = "t" + secrets.token_hex(8)
    yield mongo_url, name
    drop_from_given_server(mongo_url, name)


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
