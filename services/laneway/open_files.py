"""How many files and connections a process may have open.

Systems start programs with a soft limit far below the hard one, often 1,024, for the sake of programs that use select(2). Ours use it
for descriptors below 1,024 alone, and every connection counts.
"""

from __future__ import annotations

import resource
import sys

NEEDED = 256
"""What each program needs to start and to serve some clients."""
PER_WORKER_PROCESS = 8
"""What Celery and the lease keeper hold open for each pool process."""
WANTED = 65_536
"""More than any of them uses. Some systems set no limit at all, and libraries walk through all possible descriptors."""


def raise_limit(worker_processes: int = 0) -> str | None:
    """Raise the limit of this process, and so of those that it starts, as far as it may.

    Returns what is wrong and what to do if it may open too few. `worker_processes`: of the worker that it is or starts.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = WANTED if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < (limit := min(allowed, WANTED)):
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    needed = NEEDED + PER_WORKER_PROCESS * worker_processes
    if allowed >= needed:
        return None
    return (
        f"open files: the hard limit is {hard:,} and at least {needed:,} are needed: raise it with `ulimit -Hn`, LimitNOFILE= in a "
        "unit of systemd, or --ulimit nofile= of docker run"
    )


def require(worker_processes: int = 0) -> None:
    """Do as `raise_limit`, and exit with status 2 if the process may open too few files."""
    if problem := raise_limit(worker_processes):
        sys.stderr.write(f"wrong limit: {problem}\n")
        raise SystemExit(2)
