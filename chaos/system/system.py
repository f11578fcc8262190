"""The whole system on one machine: two APIs, two workers with their janitors, a Valkey on a disk that can lose data, a
MongoDB-protocol server, and a proxy between each program and Redis.

    with System(folder).running() as system:
        ...  # clients of system.urls, and faults
"""

from __future__ import annotations

import contextlib
import http.client
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from chaos.records import Disturbance, Limits, write_record
from chaos.system.death_watcher import DeathWatcher
from chaos.system.handlers import DEADLY_TYPES, RECORDS_VARIABLE
from chaos.system.procfs import process_names
from chaos.system.programs import Api, Program, Restarter, Worker, wait_for
from chaos.system.proxy import Proxy
from chaos.system.redis_server import RedisServer
from laneway.dev import embedded
from laneway.lanes.keys import Keys

READY_SECONDS = 90.0
GRACE_SECONDS = 5.0
LEASE_SECONDS = 5.0
RENEWAL_NS = 1_500_000_000
"""A lease keeper that lost Redis renews its leases at most this long after Redis is back."""


class System:
    """The processes, and what the checker must know about them.

    `settings` are LANEWAY_* settings by their names in lower case. `processes` counts those of each API and each worker. Without
    `proxied`, programs reach Redis directly: for tests that count jobs by the 100,000.
    """

    def __init__(
        self,
        folder: Path,
        *,
        apis: int = 2,
        workers: int = 2,
        processes: int = 2,
        appendfsync: str = "always",
        proxied: bool = True,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        self.folder, self.records = folder, folder / "records"
        self.secret = secrets.token_urlsafe(48)
        self.redis = RedisServer(folder / "redis", appendfsync=appendfsync)
        self.mongo = embedded.mongo_server(folder / "mongo", port=embedded.free_port())
        self.mongo_proxy = Proxy(urlsplit(self.mongo.url).port or 0)
        self.watcher = DeathWatcher(self.records)
        self._processes, self._proxied = processes, proxied
        self._counts = (apis, workers)
        self._settings: dict[str, object] = {
            "handlers": "chaos.system.handlers,laneway.handlers.demo",
            "lane_concurrency": 5,
            "lease_seconds": LEASE_SECONDS,
            "max_attempts": 3,
            "backoff_seconds": 0.2,
            "shutdown_grace_seconds": GRACE_SECONDS,
            "heartbeat_seconds": 2,
            **(settings or {}),
        }
        self.proxies: dict[str, Proxy] = {}
        """The connection of each program to Redis."""
        self.apis: list[Api] = []
        self.workers: list[Worker] = []
        self._restarter: Restarter | None = None

    @property
    def keys(self) -> Keys:
        """The names of the keys in Redis."""
        return Keys("laneway")

    @property
    def limits(self) -> Limits:
        """The settings that the checker needs."""
        known = self._settings
        return Limits(
            int(str(known["lane_concurrency"])),
            float(str(known["lease_seconds"])),
            int(str(known["max_attempts"])),
            dict.fromkeys(("hang", "poison-hang", "poison-hang-async"), 2),
            DEADLY_TYPES,
        )

    @property
    def programs(self) -> list[Program]:
        """All APIs and workers."""
        return [*self.apis, *self.workers]

    @property
    def urls(self) -> list[str]:
        """The addresses of the APIs."""
        return [api.url for api in self.apis]

    # -- start and stop -----------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def running(self) -> Iterator[System]:
        """Start, wait until everything is ready, and leave nothing behind."""
        try:
            self.start()
            yield self
        finally:
            self.stop()

    def start(self) -> None:
        """Start everything. Returns when it is ready."""
        self.records.mkdir(parents=True, exist_ok=True)
        self.redis.start()
        self.mongo.start()
        self.mongo_proxy.start()
        self._make_programs()
        self.watcher.start()
        self._restarter = Restarter(self.programs, self.watcher)
        for program in self.programs:
            program.wanted = True
        self._restarter.start()
        self.await_ready()

    def stop(self) -> None:
        """Kill everything at once. Whoever needs more from the system has to read it before."""
        for program in self.programs:
            program.wanted = False
        for program in self.programs:
            program.kill()
        if self._restarter is not None:
            self._restarter.stop()
            self.watcher.stop()
        for proxy in (*self.proxies.values(), self.mongo_proxy):
            proxy.stop()
        self.mongo.kill()
        self.redis.kill()

    def _make_programs(self) -> None:
        apis, workers = self._counts
        for name in [f"api{number + 1}" for number in range(apis)]:
            self.apis.append(Api(name, self.environment(name), self.folder, **self._size()))
        for name in [f"worker{number + 1}" for number in range(workers)]:
            self.workers.append(Worker(name, self.environment(name), self.folder, **self._size()))

    def _size(self) -> dict[str, int]:
        return {"processes": self._processes, "port": embedded.free_port()}

    def environment(self, name: str) -> dict[str, str]:
        """Return the environment of a program of this name, which gets a proxy of its own."""
        redis_url = self.redis.url
        if self._proxied:
            proxy = self.proxies[name] = Proxy(self.redis.port)
            proxy.start()
            redis_url = f"redis://127.0.0.1:{proxy.port}/0"
        target = f":{self.mongo_proxy.target_port}/"
        settings = {
            **self._settings,
            "redis_url": redis_url,
            "mongo_url": self.mongo.url.replace(target, f":{self.mongo_proxy.port}/"),
            "jwt_secret": self.secret,
        }
        variables = {f"LANEWAY_{key.upper()}": str(value) for key, value in settings.items()}
        return variables | {RECORDS_VARIABLE: str(self.records)}

    # -- readiness ----------------------------------------------------------------------------------------------

    def ready(self) -> bool:
        """Tell whether every API is ready and every worker has all processes of its pool."""
        return all(_api_ready(api) for api in self.apis) and all(
            _pool_processes(worker) == worker.processes for worker in self.workers
        )

    def await_ready(self, seconds: float = READY_SECONDS) -> None:
        """Wait until everything is ready. Raises AssertionError with the end of every log."""
        try:
            wait_for(self.ready, seconds, "the system is ready", poll_seconds=0.05)
        except AssertionError as error:
            tails = "\n".join(f"-- {program.name}\n{tail(program.log)}" for program in self.programs)
            raise AssertionError(f"{error}\n{tails}") from None

    # -- what the checker must know -----------------------------------------------------------------------------

    def record_redis_trouble(
        self, from_ns: int, *, program: Program | None = None, renewals_blocked: bool = True
    ) -> None:
        """Record that a program, or all of them, could not reach Redis, or only slowly, from `from_ns` until now."""
        until_ns = time.monotonic_ns() + RENEWAL_NS
        processes = [None] if program is None else process_names(program.pids())
        self.record_disturbance(processes, from_ns, until_ns, renewals_blocked=renewals_blocked)

    def record_disturbance(
        self, processes: Iterable[str | None], from_ns: int, until_ns: int, *, renewals_blocked: bool = True
    ) -> None:
        """Record that these processes (None: all) were frozen or could not reach Redis."""
        for name in processes:
            write_record(self.records, "faults", Disturbance(name, from_ns, until_ns, renewals_blocked))


def tail(path: Path, count: int = 3000) -> str:
    """Return the last characters of a log; empty if there is none."""
    return path.read_text(errors="replace")[-count:] if path.exists() else ""


def get(url: str, seconds: float = 2) -> tuple[int, bytes]:
    """Return status and body of an answer; (0, b"") if there is none."""
    try:
        with urllib.request.urlopen(url, timeout=seconds) as answer:  # noqa: S310 - ours
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except (OSError, http.client.HTTPException):  # the latter: it ended in the middle of its answer
        return 0, b""


def _api_ready(api: Api) -> bool:
    if not api.running() or len(api.children) != api.processes:
        return False
    status, body = get(f"{api.url}/readyz")
    return status == 200 and orjson.loads(body)["status"] == "ready"


def _pool_processes(worker: Worker) -> int:
    if not worker.running():
        return 0
    _, body = get(f"http://127.0.0.1:{worker.port}/metrics")
    for line in body.splitlines():
        if line.startswith(b"laneway_worker_pool_processes "):
            return int(float(line.split()[1]))
    return 0
