"""A lane takes at most a share of what Redis may use, and Redis is not asked for it by any enqueue."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from laneway.api import lane_share
from laneway.api.lane_share import limits_within
from laneway.dev import embedded
from laneway.lanes.commands import EnqueueLimits
from tests.api.running import in_thread, problem, settings_of, wait_for

MEMORY, INTERVAL_SECONDS = 20_000_000, 0.5


@pytest.mark.parametrize(
    ("lane_bytes", "share", "max_bytes", "expected"),
    [
        (1000, 0.1, 0, 1000),
        (1000, 0.1, 5000, 500),
        (1000, 0.1, 50_000, 1000),
        (0, 0.1, 5000, 500),
        (0, 0.1, 0, 0),
        (1000, 0.0, 5000, 1000),
    ],
)
def test_the_smaller_limit_holds_and_zero_is_none(
    lane_bytes: int, share: float, max_bytes: int, expected: int
) -> None:
    limits = EnqueueLimits(lane_bytes=lane_bytes)
    assert limits_within(limits, share, max_bytes) == replace(limits, lane_bytes=expected)


def test_a_lane_is_full_at_its_share_of_redis_and_others_go_on(
    tmp_path: Path, mongo_url: str, mongo_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_share, "INTERVAL_SECONDS", INTERVAL_SECONDS)
    with embedded.valkey(tmp_path / "valkey") as server:
        settings = settings_of(server.url, mongo_url, "share", mongo_database, lane_memory_share=0.1)
        with in_thread(settings) as api:
            redis = api.lanes.client
            redis.config_set("maxmemory", MEMORY)
            user, body = api.user(), json.dumps({"request": "x" * 200_000}).encode()
            headers = api.auth(user) | {"Content-Type": "application/json"}

            def fill() -> list[int]:
                answers = [api.http.post("/api/enqueue", content=body, headers=headers) for _ in range(12)]
                return [answer.status_code for answer in answers]

            wait_for(lambda: 429 in fill())
            refused = problem(api.http.post("/api/enqueue", content=body, headers=headers), 429, "lane-full")
            assert f"{MEMORY // 10:,} bytes" in refused["detail"]
            redis.config_resetstat()
            begun = time.monotonic()
            for _ in range(20):
                assert api.enqueue(api.user())
            calls = redis.info("commandstats").get("cmdstat_info", {"calls": 0})["calls"]
            passed = time.monotonic() - begun  # long on a busy machine, and INFO is asked for all the while
            assert calls <= passed / INTERVAL_SECONDS + 2, "no enqueue asks for INFO"
            redis.config_set("maxmemory", 0)
            wait_for(lambda: fill()[0] == 200)
