"""Processors under the CPU quota of a container, with a fake of the kernel's files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from laneway.processors import usable_processors


@pytest.fixture(autouse=True)
def _large_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(64)))


def write(root: Path, texts: dict[str, str]) -> Path:
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("quota", "processors"),
    [
        ("50000 100000", 1),
        ("100000 100000", 1),
        ("150000 100000", 2),
        ("400000 100000", 4),
        ("max 100000", 64),
    ],
)
def test_version_2_in_a_container(tmp_path: Path, quota: str, processors: int) -> None:
    root = write(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": quota + "\n"})
    assert usable_processors(root) == processors


def test_version_2_takes_the_tightest_group_on_the_way_up(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/pods/one/app\n",
            "sys/fs/cgroup/pods/cpu.max": "800000 100000",
            "sys/fs/cgroup/pods/one/cpu.max": "300000 100000",
            "sys/fs/cgroup/pods/one/app/cpu.max": "max 100000",
        },
    )
    assert usable_processors(root) == 3


@pytest.mark.parametrize("mount", ["cpu,cpuacct", "cpu"])
@pytest.mark.parametrize(("quota_us", "processors"), [("50000", 1), ("250000", 3), ("-1", 64)])
def test_version_1(tmp_path: Path, mount: str, quota_us: str, processors: int) -> None:
    folder = f"sys/fs/cgroup/{mount}"
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n",
            f"{folder}/cpu.cfs_quota_us": quota_us,
            f"{folder}/cpu.cfs_period_us": "100000",
        },
    )
    assert usable_processors(root) == processors


def test_without_control_groups_it_is_what_the_process_may_run_on(tmp_path: Path) -> None:
    assert usable_processors(tmp_path) == 64
