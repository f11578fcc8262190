"""What was recorded while the system ran: by clients, by handlers, by whoever threw the faults, and at the
end.

Everything is JSON lines in files that one process appends to, so that a process killed at any moment leaves
what it had written; a line that was not finished by then counts as not written. All times are
`time.monotonic_ns()`: one machine has one such clock for all its processes, and it does not jump when
somebody sets the time of day.
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
    """A request that was answered with 200. `order`: its place in its batch, from 0. `tag`: unique text
    inside the request; a request sent again has the tag of the first time."""

    job_id: str
    user: str
    client: str
    order: int
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
    """Somebody asked to cancel a job, or (job_id None) the lane was emptied. From then on a job may end as
    cancelled."""

    user: str
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A start that a handler saw, and its end: `outcome` succeeded | raised | permanent | interrupted. No
    end: the process died. `result` as canonical JSON, distinct for each attempt. `process` never names two
    processes."""

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
    """What one source says of a job at the end: `source` is api | history | dead_letters. `result` as
    canonical JSON."""

    job_id: str
    user: str
    source: str
    state: str
    attempts: int
    tag: str
    result: str | None = None


@dataclass(frozen=True, slots=True)
class Death:
    """A process that was alive at `at_ns` and never after `gone_ns`."""

    process: str
    at_ns: int
    gone_ns: int


@dataclass(frozen=True, slots=True)
class Disturbance:
    """From `from_ns` to `until_ns` a process (None: each) stood still, or Redis answered it late or not at
    all. `silent`: no renewal of a lease got through."""

    process: str | None
    from_ns: int
    until_ns: int
    silent: bool = True


@dataclass(frozen=True, slots=True)
class Limits:
    """How the system was set. `attempts_of`: handlers with a limit of their own, by type."""

    lane_concurrency: int
    lease_seconds: float
    max_attempts: int
    attempts_of: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class History:
    """Everything that is known of one run."""

    limits: Limits
    accepted: tuple[Accepted, ...] = ()
    ambiguous: tuple[Ambiguous, ...] = ()
    cancelled: tuple[Cancelled, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    endings: tuple[Ending, ...] = ()
    deaths: tuple[Death, ...] = ()
    disturbances: tuple[Disturbance, ...] = ()

    def requests(self) -> Iterator[Accepted | Ambiguous]:
        """Everything that was sent and not refused."""
        yield from self.accepted
        yield from self.ambiguous


Record = Accepted | Ambiguous | Cancelled | Attempt | Ending | Death | Disturbance
_KINDS: dict[str, type[Any]] = {
    kind.__name__.lower(): kind for kind in (Accepted, Ambiguous, Cancelled, Ending, Death, Disturbance)
}


def canonical(value: object) -> str:
    """JSON text that is equal if and only if the values are."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def process_name(pid: int) -> str:
    """`<pid>@<start time in clock ticks>`: unlike the pid alone, it is not used again. Raises
    FileNotFoundError."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    return f"{pid}@{stat.rpartition(')')[2].split()[19]}"


def append(folder: Path, name: str, line: Mapping[str, object]) -> None:
    """Append one line to `<name>.jsonl`. The file is opened for each line: a handler that closes every file
    descriptor, or a fork, must not send the next line elsewhere."""
    descriptor = os.open(folder / f"{name}.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, orjson.dumps(line) + b"\n")
    finally:
        os.close(descriptor)


def note(folder: Path, name: str, record: Record) -> None:
    """Append a record of a client or of the one who throws faults."""
    values = {key: getattr(record, key) for key in record.__dataclass_fields__}
    append(folder, name, {"kind": type(record).__name__.lower(), **values})


def lines(folder: Path) -> Iterator[dict[str, Any]]:
    """Every finished line of every file in the folder."""
    for path in sorted(folder.glob("*.jsonl")):
        content = path.read_bytes()
        for line in content[: content.rfind(b"\n") + 1].splitlines():
            yield orjson.loads(line)


def attempts(found: Iterable[Mapping[str, Any]]) -> tuple[Attempt, ...]:
    """Join the handlers' lines: `start` {run, job_id, user, attempt, process, at_ns} and `end` {run, at_ns,
    outcome, result}. `run` is unique for each call of a handler."""
    starts: dict[str, Mapping[str, Any]] = {}
    ends: dict[str, Mapping[str, Any]] = {}
    for line in found:
        if line["kind"] in ("start", "end"):
            (starts if line["kind"] == "start" else ends)[line["run"]] = line
    joined = []
    for run, start in starts.items():
        end = ends.get(run, {})
        result = canonical(end["result"]) if end.get("outcome") == "succeeded" else None
        joined.append(
            Attempt(
                start["job_id"],
                start["user"],
                start["attempt"],
                start["process"],
                start["at_ns"],
                end.get("at_ns"),
                end.get("outcome"),
                result,
            )
        )
    return tuple(joined)


def read(folder: Path, limits: Limits) -> History:
    """All records below one folder as a history."""
    found = list(lines(folder))
    sorts: dict[str, list[Any]] = {kind: [] for kind in _KINDS}
    for line in found:
        kind = line.pop("kind") if line["kind"] in _KINDS else None
        if kind:
            sorts[kind].append(_KINDS[kind](**line))
    handlers = attempts(line for line in found if "kind" in line)
    return History(
        limits,
        attempts=handlers,
        accepted=tuple(sorts["accepted"]),
        ambiguous=tuple(sorts["ambiguous"]),
        cancelled=tuple(sorts["cancelled"]),
        endings=tuple(sorts["ending"]),
        deaths=tuple(sorts["death"]),
        disturbances=tuple(sorts["disturbance"]),
    )
