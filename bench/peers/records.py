"""Reads the start records that the jobs of a run wrote; `adapters/python/records.py` describes them."""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

FORMAT = struct.Struct("<ddII")


class Record(NamedTuple):
    """The start of a job. Times are seconds of the monotonic clock."""

    enqueued: float
    started: float
    user: int
    number: int


def count(folder: Path) -> int:
    """Return how many jobs have started."""
    return sum(path.stat().st_size for path in folder.glob("*.records")) // FORMAT.size


def read(folder: Path) -> list[Record]:
    """Return all records in the order of their starts. A record that is being written is left out."""
    found: list[Record] = []
    for path in folder.glob("*.records"):
        content = path.read_bytes()
        whole = len(content) // FORMAT.size * FORMAT.size
        found += map(Record._make, FORMAT.iter_unpack(content[:whole]))
    return sorted(found, key=lambda record: record.started)


def clear(folder: Path) -> None:
    """Forget what has been recorded; processes go on to append to their files."""
    for path in folder.glob("*.records"):
        path.open("wb").close()


@dataclass(frozen=True, slots=True)
class Faults:
    """What went wrong with the order of jobs."""

    out_of_order: int
    """Jobs that started after one of the same user that was enqueued later."""
    repeated: int
    """Starts of a job that had started before."""


def faults(records: Sequence[Record]) -> Faults:
    """Count the faults in records of one `fill`."""
    latest: dict[int, int] = defaultdict(lambda: -1)
    out_of_order = 0
    for record in records:
        out_of_order += record.number < latest[record.user]
        latest[record.user] = max(latest[record.user], record.number)
    distinct = len({(record.user, record.number) for record in records})
    return Faults(out_of_order, len(records) - distinct)
