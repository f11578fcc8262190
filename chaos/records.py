"""The records of a run: what clients, handlers and the fault engine saw, as JSON lines on disk.

One process appends to each file, so a process that is killed at any moment leaves everything it wrote; an unfinished last line
counts as not written. All times are `time.monotonic_ns()`: the processes of one machine share that clock, and it does not jump
when somebody sets the time of day.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Accepted:
    """A request that was answered with 200.

    `batch_index` is its place in its batch, from 0. `tag` is a unique text inside the request; a request that is sent again
    keeps its tag.
    """

    job_id: str
    user: str
    client: str
    batch_index: int
    sent_ns: int
    answered_ns: int
    tag: str
    key: str | None = None
    type: str = ""


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """A request without an answer, or answered with a 5xx: it may have been accepted or not."""

    user: str
    client: str
    sent_ns: int
    tag: str
    key: str | None = None
    type: str = ""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Somebody asked to cancel a job, or, with `job_id` None, emptied the lane. The job may end as cancelled from then on."""

    user: str
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call of a handler.

    `outcome` is succeeded, raised, permanent or interrupted. Without an end the process died. `result` is canonical JSON and
    different for each attempt. `process` never names two processes.
    """

    job_id: str
    user: str
    attempt: int
    process: str
    start_ns: int
    end_ns: int | None = None
    outcome: str | None = None
    result: str | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """What one source (api, history or dead_letters) reports about a job after the run. `result` is canonical JSON."""

    job_id: str
    user: str
    source: str
    state: str
    attempts: int
    tag: str
    result: str | None = None


@dataclass(frozen=True, slots=True)
class Death:
    """A process that was alive at `last_alive_ns` and no longer at `dead_ns`."""

    process: str
    last_alive_ns: int
    dead_ns: int


@dataclass(frozen=True, slots=True)
class Disturbance:
    """A time in which a process (None: every process) was frozen, or got late answers or none from Redis.

    `renewals_blocked`: no renewal of a lease reached Redis in that time.
    """

    process: str | None
    from_ns: int
    until_ns: int
    renewals_blocked: bool = True


@dataclass(frozen=True, slots=True)
class DataLoss:
    """The moment at which Redis lost everything it held. Jobs that had not ended by then may be gone."""

    at_ns: int


@dataclass(frozen=True, slots=True)
class DamagedJob:
    """A job whose request was deleted from Redis. It must end once, and may end as failed."""

    user: str
    job_id: str


@dataclass(frozen=True, slots=True)
class Limits:
    """The settings that the checker needs.

    `attempts_of_type` holds the types with a limit of their own. Handlers of `deadly_types` kill their processes.
    """

    lane_concurrency: int
    lease_seconds: float
    max_attempts: int
    attempts_of_type: Mapping[str, int] = field(default_factory=dict)
    deadly_types: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class History:
    """Everything that was recorded in one run."""

    limits: Limits
    accepted: tuple[Accepted, ...] = ()
    ambiguous: tuple[Ambiguous, ...] = ()
    cancelled: tuple[Cancelled, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    endings: tuple[Ending, ...] = ()
    deaths: tuple[Death, ...] = ()
    disturbances: tuple[Disturbance, ...] = ()
    data_losses: tuple[DataLoss, ...] = ()
    damaged: tuple[DamagedJob, ...] = ()

    def data_lost_after(self, time_ns: int) -> int | None:
        """Return when Redis first lost everything after a moment; None if it never did."""
        return min((loss.at_ns for loss in self.data_losses if loss.at_ns > time_ns), default=None)

    def requests(self) -> Iterator[Accepted | Ambiguous]:
        """Yield every request that was sent and not clearly refused."""
        yield from self.accepted
        yield from self.ambiguous


Record = Accepted | Ambiguous | Cancelled | Attempt | Ending | Death | Disturbance | DataLoss | DamagedJob
_FIELDS: dict[str, str] = {
    "Accepted": "accepted",
    "Ambiguous": "ambiguous",
    "Cancelled": "cancelled",
    "Ending": "endings",
    "Death": "deaths",
    "Disturbance": "disturbances",
    "DataLoss": "data_losses",
    "DamagedJob": "damaged",
}
"""Where a history keeps each kind of record. Attempts are missing: handlers write their two ends as separate lines."""
_TYPES: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (Accepted, Ambiguous, Cancelled, Ending, Death, Disturbance, DataLoss, DamagedJob)
}


def canonical(value: object) -> str:
    """Return JSON text that is equal exactly when the values are."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def append_line(folder: Path, name: str, line: Mapping[str, object]) -> None:
    """Append one line to `<name>.jsonl`.

    The file is opened for each line: after a fork, or in a process whose handler closed every file descriptor, an open one could
    point elsewhere.
    """
    descriptor = os.open(folder / f"{name}.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, orjson.dumps(line) + b"\n")
    finally:
        os.close(descriptor)


def write_record(folder: Path, name: str, record: Record) -> None:
    """Append a record to `<name>.jsonl`."""
    values = {key: getattr(record, key) for key in record.__dataclass_fields__}
    append_line(folder, name, {"kind": type(record).__name__, **values})


def read_lines(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield every finished line of every file in the folder."""
    for path in sorted(folder.glob("*.jsonl")):
        content = path.read_bytes()
        for line in content[: content.rfind(b"\n") + 1].splitlines():
            yield orjson.loads(line)


def join_attempts(lines: Iterable[Mapping[str, Any]]) -> tuple[Attempt, ...]:
    """Join the lines that handlers write: `start` {run, job_id, user, attempt, process, at_ns} and `end` {run, at_ns, outcome,
    result}. `run` is unique for each call of a handler."""
    starts: dict[str, Mapping[str, Any]] = {}
    ends: dict[str, Mapping[str, Any]] = {}
    for line in lines:
        if line["kind"] in ("start", "end"):
            (starts if line["kind"] == "start" else ends)[line["run"]] = line
    return tuple(_attempt(start, ends.get(run, {})) for run, start in starts.items())


def _attempt(start: Mapping[str, Any], end: Mapping[str, Any]) -> Attempt:
    return Attempt(
        start["job_id"],
        start["user"],
        start["attempt"],
        start["process"],
        start["at_ns"],
        end.get("at_ns"),
        end.get("outcome"),
        canonical(end["result"]) if end.get("outcome") == "succeeded" else None,
    )


def read_history(folder: Path, limits: Limits) -> History:
    """Read all records in one folder."""
    found: dict[str, list[Any]] = {name: [] for name in _FIELDS.values()}
    handler_lines = []
    for line in read_lines(folder):
        if kind := _TYPES.get(line["kind"]):
            found[_FIELDS[line.pop("kind")]].append(kind(**line))
        else:
            handler_lines.append(line)
    records = {name: tuple(some) for name, some in found.items()}
    return History(limits, attempts=join_attempts(handler_lines), **records)
