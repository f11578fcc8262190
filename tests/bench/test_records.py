"""The start records: adapters in Python and in Node write what the driver reads."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.peers import records
from bench.peers.records import Faults, Record
from bench.peers.run import ADAPTERS

PYTHON = """
import json, records
job = records.payload(12.25, 3, 45)
records.append(job["job"])
print(json.dumps(job, separators=(",", ":")))
"""
NODE = """
const { append, payload } = require('./records');
const job = payload(12.25, 3, 45);
append(job);
console.log(JSON.stringify(job));
"""


def commands() -> dict[str, list[str]]:
    found = {"python": [sys.executable, "-c", PYTHON]}
    if node := shutil.which("node"):
        found["node"] = [node, "-e", NODE]
    return found


@pytest.mark.parametrize("language", ["python", "node"])
def test_an_adapter_writes_what_the_driver_reads(language: str, tmp_path: Path) -> None:
    if language not in commands():
        pytest.skip("there is no Node on this machine")
    before = time.monotonic()
    environment = {"BENCH_RECORDS": str(tmp_path)}
    written = subprocess.run(
        commands()[language], cwd=ADAPTERS / language, env=environment, check=True, capture_output=True
    ).stdout.strip()
    assert len(written) == 50, "every peer stores a payload of 50 bytes"
    assert json.loads(written) == {"job": "00000000012.250000 00000003 000000000045"}
    [record] = records.read(tmp_path)
    assert (record.enqueued, record.user, record.number) == (12.25, 3, 45)
    assert before < record.started < time.monotonic(), "the clock is the same in all processes"
    assert records.count(tmp_path) == 1


def test_records_of_several_files_are_read_in_the_order_of_their_starts(tmp_path: Path) -> None:
    for name, started in (("a", 3.0), ("b", 1.0), ("c", 2.0)):
        (tmp_path / f"{name}.records").write_bytes(records.FORMAT.pack(0.5, started, 0, 0))
    assert [record.started for record in records.read(tmp_path)] == [1, 2, 3]
    records.clear(tmp_path)
    assert records.read(tmp_path) == []


def test_a_record_that_is_being_written_is_left_out(tmp_path: Path) -> None:
    whole = records.FORMAT.pack(0.5, 1.0, 2, 3)
    (tmp_path / "a.records").write_bytes(whole + whole[:7])
    assert records.read(tmp_path) == [Record(0.5, 1.0, 2, 3)]
    assert records.count(tmp_path) == 1


def test_overtaking_and_repeating_are_counted_for_each_user() -> None:
    starts = [(0, 5), (1, 1), (1, 0), (0, 6), (1, 2), (1, 2)]
    assert records.faults([Record(0, 0, user, number) for user, number in starts]) == Faults(1, 1)
