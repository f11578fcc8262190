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

    `batch_index`: its position in its batch, from 0. `tag`: a unique text inside the request, which stays the same when the
    request is sent again.
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
    """A request that got no answer, or a 5xx. Nobody knows whether it was accepted."""

    user: str
    client: str
    sent_ns: int
    tag: str
    key: str | None = None
    type: str = ""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A request to cancel one job. `job_id` None: every job of the user's lane. Each of these jobs may end as cancelled."""

    user: str
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call of a handler.

    `outcome` is `succeeded`, `raised`, `permanent` or `interrupted`. `end_ns` None: the process died during the call. `result` is
    canonical JSON that no other attempt returns. `process` is a name that no other process gets.
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
    """The death of a process, some time between `last_alive_ns` and `dead_ns`."""

    process: str
    last_alive_ns: int
    dead_ns: int


@dataclass(frozen=True, slots=True)
class Disturbance:
    """A period in which a process was frozen, or Redis answered it late or not at all. `process` None: all processes.

    `renewals_blocked`: no renewal of a lease reached Redis in that period.
    """

    process: str | None
    from_ns: int
    until_ns: int
    renewals_blocked: bool = True


@dataclass(frozen=True, slots=True)
class DataLoss:
    """The moment at which Redis lost all its data. Jobs that had not ended by then may be missing."""

    at_ns: int


@dataclass(frozen=True, slots=True)
class DamagedJob:
    """A job whose request was deleted from Redis. It ends exactly once, as failed or otherwise."""

    user: str
    job_id: str


@dataclass(frozen=True, slots=True)
class Limits:
    """The settings that the checker needs.

    `attempts_of_type`: maximum attempts of types that set their own. `deadly_types`: types whose handlers kill their process.
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
"""The field of History for each kind of record. Attempts are not among them: `join_attempts` builds them from two lines."""
_TYPES: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (Accepted, Ambiguous, Cancelled, Ending, Death, Disturbance, DataLoss, DamagedJob)
}


def canonical(value: object) -> str:
    """Return JSON text. Equal values give equal texts, and unequal values unequal ones."""
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
    """Build attempts from the `start` and `end` lines that handlers write.

    A `start` line has run, job_id, user, attempt, process and at_ns; an `end` line has run, at_ns, outcome and result. `run`
    identifies one call of a handler.
    """
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
