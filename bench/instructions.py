"""What a job costs Redis in instructions: `python -m bench.instructions`, a minute. It needs valgrind.

A Valkey of its own runs the same calls under callgrind each time. Instructions do not depend on what else the machine does, so a
single run of each of two versions tells them apart. Counted is what Valkey does from a parsed command to its reply; what it does
for the network is not.
"""

from __future__ import annotations

import re
import secrets
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import redis
from rich.console import Console
from rich.table import Table

from bench.processes import process, wait_until
from laneway.dev import embedded
from laneway.lanes.commands import Archived, Claim, Command, Enqueue, EnqueueLimits, Finish, Outbox, Turns
from laneway.lanes.keys import TURN_PLACEHOLDER, Keys
from laneway.lanes.model import JobState, NewJob, Outcome
from laneway.lanes.store import Lanes, connect

T = TypeVar("T")
COUNTED, DUMPED = "processCommand", "echoCommand"
"""Functions of Valkey: instructions are counted inside the first, and callgrind writes the count at each call of the second."""
USERS, BATCH, ALONE, STORED = 2048, 64, 128, 500
NAME, LEASE_SECONDS, SECONDS = "bench", 600, 60.0
WORKER, REQUEST = "worker-0:12", b'{"a":1}'
LIMITS = EnqueueLimits(lane_bytes=50_000_000)


class InstructionCounter:
    """Runs commands on a Valkey under callgrind, which writes its counts into `folder`."""

    def __init__(self, client: redis.Redis, folder: Path) -> None:
        self._client, self._folder = client, folder
        self._lanes = Lanes(client, Keys(NAME))
        self._dumps = 0
        self.instructions: Counter[tuple[str, str]] = Counter()
        """By the name of a script and what is said of its calls."""
        self.jobs: Counter[tuple[str, str]] = Counter()

    def run(self, calls: Sequence[Command[T]], kind: str, jobs: int) -> list[T]:
        """Run commands of one script, for `jobs` jobs in all."""
        self._dump()
        results = [self._lanes.run(call) for call in calls]
        row = (calls[0].script, kind)
        self.instructions[row] += self._dump()
        self.jobs[row] += jobs
        return results

    def _dump(self) -> int:
        """Return how many instructions were counted since the last call."""
        self._client.echo("")
        self._dumps += 1
        (file,) = self._folder.glob(f"callgrind.out.*.{self._dumps}")
        totals = re.search(r"^totals: (\d+)$", file.read_text(), re.MULTILINE)
        file.unlink()
        return int(totals[1]) if totals else 0


@contextmanager
def counter(folder: Path) -> Iterator[InstructionCounter]:
    """Start a Valkey under callgrind."""
    port = embedded.free_port()
    options = {
        "port": port,
        "bind": "127.0.0.1",
        "dir": folder,
        "save": "",
        "appendonly": "yes",
        "appendfsync": "no",
    }
    command = [
        *("valgrind", "--tool=callgrind", f"--toggle-collect={COUNTED}", f"--dump-before={DUMPED}"),
        f"--callgrind-out-file={folder}/callgrind.out.%p",
        embedded.valkey_binary(),
        *(text for name, value in options.items() for text in (f"--{name}", str(value))),
    ]
    with (
        process(command, folder / "valkey.log", {}),
        connect(f"redis://127.0.0.1:{port}/0", timeout_seconds=SECONDS) as client,
    ):
        wait_until(lambda: _answers(client), SECONDS, "Valkey answers")
        Lanes(client, Keys(NAME)).run(Turns(f"a turn message with its id {TURN_PLACEHOLDER}".encode(), 0))
        yield InstructionCounter(client, folder)


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def measure(of: InstructionCounter, users: int) -> None:
    """Take jobs through their lives: those of many users, with claims that share them; one by one; and those of one user."""
    many = [f"user{number}" for number in range(users)]
    of.run([_enqueue(user) for user in many], "1 job", users)
    work(of, users, BATCH, f"{BATCH} jobs of {BATCH} users")
    of.run([_enqueue(user) for user in many[:ALONE]], "1 job", ALONE)
    work(of, ALONE, 1, "1 job")
    of.run([_enqueue("one", BATCH) for _ in range(users // BATCH)], f"{BATCH} jobs of 1 user", users)
    work(of, users, BATCH, f"{BATCH} jobs of 1 user")
    archive(of)


def work(of: InstructionCounter, jobs: int, batch: int, kind: str) -> None:
    """Claim what is there, `batch` jobs at a time, and finish it."""
    for _ in range(jobs // batch):
        (claimed,) = of.run([Claim(batch, LEASE_SECONDS, with_followers=True)], kind, batch)
        if len(claimed.leases) != batch:
            raise RuntimeError(f"a claim gave {len(claimed.leases)} jobs instead of {batch}")
        outcomes = [Outcome(lease, JobState.SUCCEEDED, 1, REQUEST) for lease in claimed.leases]
        of.run([Finish(WORKER, outcomes)], kind, batch)


def archive(of: InstructionCounter) -> None:
    """Read the ended jobs and forget them, as the archiver does."""
    kind = f"{STORED} jobs"
    while True:
        (ended,) = of.run([Outbox(STORED)], kind, STORED)
        if len(ended) < STORED:
            return
        of.run([Archived.of(ended)], kind, STORED)


def _enqueue(user: str, jobs: int = 1) -> Enqueue:
    new = [NewJob(secrets.token_hex(6), "echo", REQUEST, 3) for _ in range(jobs)]
    return Enqueue(user, new, LIMITS, token_id="token", logged_in_ms=1)


def main() -> None:
    """Print a table."""
    if shutil.which("valgrind") is None:
        sys.exit("valgrind is not installed (apt-get install valgrind); it counts the instructions")
    with tempfile.TemporaryDirectory(prefix="laneway-bench-") as name, counter(Path(name)) as of:
        measure(of, ALONE)  # loads the scripts
        of.instructions.clear()
        of.jobs.clear()
        measure(of, USERS)
    table = Table("script", "call", "instructions a job")
    table.columns[2].justify = "right"
    for (script, kind), instructions in of.instructions.items():
        table.add_row(script, kind, f"{instructions / of.jobs[script, kind]:,.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
