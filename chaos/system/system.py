"""The whole system as real processes on one machine: two APIs, two workers with their janitors, a Valkey on a disk that can
forget, a MongoDB-protocol server, and a network of its own between each program and Redis.

    with System(folder).running() as system:
        ...  # clients of system.urls; faults (kinds.py)
        verdict = system.judge(users)
"""

from __future__ import annotations

import contextlib
import secrets
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from chaos.records import Disturbance, Limits, note, process_name
from chaos.system.death_watcher import Watcher
from chaos.system.programs import Api, Program, Tender, Worker, wait_for
from chaos.system.proxy import Proxy
from chaos.system.redis_server import Server
from laneway.dev import embedded

READY_SECONDS = 90.0
GRACE_SECONDS = 5.0
LEASE_SECONDS = 5.0
RESUMED_NS = 1_500_000_000
"""A lease keeper that could not reach Redis renews its leases at most this long after it can again."""


class System:
    """`settings`: LANEWAY_* settings by their names in lower case. `proxied`: whether Redis is reached through a network that can
    be bad; a test that counts jobs by the 100,000 goes without. `processes`: of each API and of each worker."""

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
        self.redis = Server(folder / "redis", appendfsync=appendfsync)
        self.mongo = embedded.mongo_server(folder / "mongo", port=embedded.free_port())
        self.mongo_proxy = Proxy(urlsplit(self.mongo.url).port or 0)
        self.watcher = Watcher(self.records)
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
        """Each program's way to Redis."""
        self.apis: list[Api] = []
        self.workers: list[Worker] = []
        self._tender: Tender | None = None

    @property
    def limits(self) -> Limits:
        """What the checker must know."""
        known = self._settings
        return Limits(
            int(str(known["lane_concurrency"])),
            float(str(known["lease_seconds"])),
            int(str(known["max_attempts"])),
            {"hang": 2},
        )

    @property
    def programs(self) -> list[Program]:
        return [*self.apis, *self.workers]

    @property
    def urls(self) -> list[str]:
        return [api.url for api in self.apis]

    # -- start and stop -----------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def running(self) -> Iterator[System]:
        """Started and ready; afterwards nothing of it is left."""
        try:
            self.start()
            yield self
        finally:
            self.stop()

    def start(self) -> None:
        """Returns when everything is ready."""
        self.records.mkdir(parents=True, exist_ok=True)
        self.redis.start()
        self.mongo.start()
        self.mongo_proxy.start()
        self._make_programs()
        self.watcher.start()
        self._tender = Tender(self.programs, self.watcher)
        for program in self.programs:
            program.wanted = True
        self._tender.start()
        self.await_ready()

    def stop(self) -> None:
        """Everything at once and hard: what had to be seen of it has been seen."""
        for program in self.programs:
            program.wanted = False
        for program in self.programs:
            program.kill()
        if self._tender is not None:
            self._tender.stop()
            self.watcher.stop()
        for proxy in (*self.proxies.values(), self.mongo_proxy):
            proxy.stop()
        self.mongo.kill()
        self.redis.kill()

    def _make_programs(self) -> None:
        apis, workers = self._counts
        for number in range(apis):
            name = f"api{number + 1}"
            api = Api(
                name,
                self.environment(name),
                self.folder,
                processes=self._processes,
                port=embedded.free_port(),
            )
            self.apis.append(api)
        for number in range(workers):
            name = f"worker{number + 1}"
            worker = Worker(
                name,
                self.environment(name),
                self.folder,
                processes=self._processes,
                port=embedded.free_port(),
            )
            self.workers.append(worker)

    def environment(self, name: str) -> dict[str, str]:
        """Of a program of this name."""
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
        return variables | {"FAULTS_RECORDS": str(self.records)}

    # -- is it well? --------------------------------------------------------------------------------------------

    def ready(self) -> bool:
        """Whether every API is ready and every worker has all processes of its pool."""
        return all(_api_ready(api) for api in self.apis) and all(
            _pool_processes(worker) == worker.processes for worker in self.workers
        )

    def await_ready(self, seconds: float = READY_SECONDS) -> None:
        """Raises AssertionError with the end of every log."""
        try:
            wait_for(self.ready, seconds, "the system is ready", poll_seconds=0.05)
        except AssertionError as error:
            tails = "\n".join(f"-- {program.name}\n{tail(program.log)}" for program in self.programs)
            raise AssertionError(f"{error}\n{tails}") from None

    def heal(self) -> None:
        """End every fault that may last."""
        for proxy in (*self.proxies.values(), self.mongo_proxy):
            proxy.heal()
        for program in self.programs:
            program.extra.clear()
            program.signal(signal.SIGCONT)
            program.wanted = True

    # -- what the checker must know of faults -------------------------------------------------------------------

    def disturbed(self, from_ns: int, *, program: Program | None = None, silent: bool = True) -> None:
        """From `from_ns` until now Redis could not be reached, or not well, by a program or by all."""
        until_ns = time.monotonic_ns() + RESUMED_NS
        if program is None:
            self._note(Disturbance(None, from_ns, until_ns, silent))
        else:
            self.stood_still(names(program.pids()), from_ns, until_ns, silent=silent)

    def stood_still(
        self, processes: Iterable[str], from_ns: int, until_ns: int, *, silent: bool = True
    ) -> None:
        """These processes were frozen; `silent`: their leases were not renewed."""
        for name in processes:
            self._note(Disturbance(name, from_ns, until_ns, silent))

    def _note(self, disturbance: Disturbance) -> None:
        note(self.records, "faults", disturbance)


def names(pids: Iterable[int]) -> list[str]:
    """The checker's names of those processes that live."""
    found = []
    for pid in pids:
        with contextlib.suppress(OSError):
            found.append(process_name(pid))
    return found


def tail(path: Path, count: int = 3000) -> str:
    """The end of a log."""
    return path.read_text(errors="replace")[-count:] if path.exists() else ""


def get(url: str, seconds: float = 2) -> tuple[int, bytes]:
    """Status and body; (0, b"") if there is no answer."""
    try:
        with urllib.request.urlopen(url, timeout=seconds) as answer:  # noqa: S310 - ours
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
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
