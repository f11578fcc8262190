"""How many processors this process may use: those it may run on, or fewer under a container's CPU quota."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_V1_MOUNTS = ("cpu,cpuacct", "cpuacct,cpu", "cpu")


def usable_processors(root: Path = Path("/")) -> int:
    """Return the number, at least 1. A quota of 1.5 processors counts as 2. `root` is where `/proc` and `/sys` stand."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *(math.ceil(quota) for quota in _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """Read the quotas of this process's control groups and of all groups above them: cgroup v2 and v1."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        group = PurePosixPath(path.lstrip("/"))
        for folder in (group, *group.parents):
            if not controllers:
                yield from _v2_quota(root / "sys/fs/cgroup" / folder)
            elif "cpu" in controllers.split(","):
                for mount in _V1_MOUNTS:
                    yield from _v1_quota(root / "sys/fs/cgroup" / mount / folder)


def _v2_quota(folder: Path) -> Iterator[float]:
    try:
        quota_us, period_us = (folder / "cpu.max").read_text().split()
        yield int(quota_us) / int(period_us)
    except (OSError, ValueError):  # no such file, or "max"
        return


def _v1_quota(folder: Path) -> Iterator[float]:
    try:
        quota_us = int((folder / "cpu.cfs_quota_us").read_text())
        period_us = int((folder / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return
    if quota_us > 0:  # -1 means no quota
        yield quota_us / period_us
