"""Print what a process may do in the container in which this program runs, as JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


def minimal_rights(*, user: int, token: bool) -> dict[str, Any]:
    """Return the output for a container with minimal rights."""
    return {
        "user": [user, user],
        "capabilities": [0] * len(SETS),
        "no new privileges": "1",
        "seccomp": "2",  # a filter: the runtime's own
        "root": "Read-only file system",
        "tmp": True,
        "token": token,
    }


def _writable(path: str) -> bool | str | None:
    try:
        Path(path).touch()
    except OSError as error:
        return error.strerror
    return True


def main() -> None:
    """Print the report."""
    lines = Path("/proc/self/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines)
    report = {
        "user": [os.getuid(), os.getgid()],
        "capabilities": [int(status[name], 16) for name in SETS],
        "no new privileges": status["NoNewPrivs"],
        "seccomp": status["Seccomp"],
        "root": _writable("/file"),
        "tmp": _writable("/tmp/file"),  # noqa: S108 - the container's own
        "token": TOKEN.exists(),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
