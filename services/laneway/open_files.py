"""How many files and connections a process may have open.

Systems start programs with a soft limit far below the hard one, often 1,024, for the sake of programs that use select(2). Ours do not,
and every connection counts.
"""

from __future__ import annotations

import resource
import sys

NEEDED = 256
"""What each program needs to start and to serve some clients."""
WANTED = 65_536
"""More than any of them uses. Some systems set no limit at all, and libraries walk through all possible descriptors."""


def raise_limit(more: int = 0) -> str | None:
    """Raise the limit of this process, and so of those that it starts, as far as it may.

    Returns what is wrong and what to do if NEEDED and `more` files are more than it may open.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = WANTED if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < (limit := min(allowed, WANTED)):
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    needed = NEEDED + more
    if allowed >= needed:
        return None
    return (
        f"open files: the hard limit is {hard:,} and at least {needed:,} are needed: raise it with `ulimit -Hn`, LimitNOFILE= in a "
        "unit of systemd, or --ulimit nofile= of docker run"
    )


def require(more: int = 0) -> None:
    """Raise the limit as far as possible. Exits with status 2 and says what to do if it stays below NEEDED and `more`."""
    if problem := raise_limit(more):
        sys.stderr.write(f"wrong limit: {problem}\n")
        raise SystemExit(2)
