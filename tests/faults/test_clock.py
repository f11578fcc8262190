"""The preloaded clock changes the time of day and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import orjson
import pytest

from chaos.system.preload import NoCompilerError, wrong_clock

READ = (
    "import time, datetime, json; print(json.dumps([time.time(), time.time_ns() / 1e9,"
    " datetime.datetime.now(datetime.timezone.utc).timestamp(), time.monotonic()]))"
)


@pytest.mark.parametrize("off_seconds", [-600, 0, 600])
def test_the_time_of_day_is_off_and_the_monotonic_clock_is_right(off_seconds: int) -> None:
    try:
        preload = wrong_clock(off_seconds)
    except NoCompilerError as reason:
        if "CI" in os.environ:
            raise
        pytest.skip(str(reason))
    before = (time.time(), time.monotonic())
    environment = {**os.environ, **preload}
    output = subprocess.run([sys.executable, "-c", READ], env=environment, capture_output=True, check=True)
    *times_of_day, monotonic = orjson.loads(output.stdout)
    after = (time.time(), time.monotonic())
    assert before[1] <= monotonic <= after[1]
    for read in times_of_day:
        assert before[0] - 0.01 <= read - off_seconds <= after[0] + 0.01
