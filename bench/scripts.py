"""What a call of each script costs Redis: `python -m bench.scripts`, some ten seconds.

A server of its own, one user a job, so that nothing is shared but what the script shares itself. The time is Redis's own
(`INFO commandstats`): neither the network nor Python is in it. The second number is the processor time of the server, which
other programs on a busy machine do not lengthen. `1 job` is a call for one job, `64 jobs` for a batch of them.
"""

from __future__ import annotations

import argparse
import secrets
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import redis

from laneway.dev import embedded
from laneway.lanes import commands
from laneway.lanes.commands import Command
from laneway.lanes.keys import Keys
from laneway.lanes.model import JobState, Lease, NewJob, Outcome
from laneway.lanes.store import Lanes, connect

T = TypeVar("T")
PIPELINE = 100
TURN = b"a turn message with its id @turn-id-placeholder-------------@"


class Meter:
    """Runs commands and records what they cost Redis."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._lanes = Lanes(client, Keys("bench"))
        self.costs_us: dict[str, tuple[float, float]] = {}

    def run(self, calls: Sequence[Command[T]], name: str) -> list[T]:
        """Run commands of one script; `name` is the column that shows the mean cost of a call."""
        self._lanes.run(commands.InspectLane("nobody"))  # connects
        self._lanes.run_all(calls[:1])  # loads the script
        self._client.config_resetstat()
        cpu_before_us = self._cpu_us()
        replies = [
            reply
            for first in range(1, len(calls), PIPELINE)
            for reply in self._lanes.run_all(calls[first : first + PIPELINE])
        ]
        stats: Any = self._client.info("commandstats")["cmdstat_evalsha"]
        self.costs_us[f"{calls[0].script} {name}"] = (
            float(stats["usec_per_call"]),
            (self._cpu_us() - cpu_before_us) / max(1, len(calls) - 1),
        )
        return replies

    def _cpu_us(self) -> float:
        usage: Any = self._client.info("cpu")
        return (float(usage["used_cpu_user"]) + float(usage["used_cpu_sys"])) * 1_000_000


def measure(meter: Meter, jobs: int, batch: int, name: str) -> None:
    """Take `jobs` jobs of as many users through their lives, `batch` of them a call."""

    def batches(of: Sequence[T]) -> list[Sequence[T]]:
        return [of[first : first + batch] for first in range(0, len(of), batch)]

    def each(kind: Callable[[Sequence[Lease]], Command[Any]], of: Sequence[Lease]) -> None:
        meter.run([kind(leases) for leases in batches(of)], name)

    new = [NewJob(secrets.token_hex(6), "echo", b'{"a":1}', 3) for _ in range(jobs)]
    meter.run([commands.Enqueue(f"{name}{i}", [job]) for i, job in enumerate(new)], "1 job")
    claims = [commands.Claim(batch, 30) for _ in range(jobs // batch)]
    leases = [lease for claimed in meter.run(claims, name) for lease in claimed.leases]
    leases = leases[: len(leases) // batch * batch]
    half = len(leases) // batch // 2 * batch
    each(commands.Release, leases[:half])
    leases = leases[half:]
    each(lambda some: commands.Start("worker", some, [1] * len(some)), leases)
    each(lambda some: commands.Renew(30, [lease.handle for lease in some]), leases)
    each(
        lambda some: commands.Finish(
            "worker", [Outcome(lease, JobState.SUCCEEDED, 1, b"{}") for lease in some]
        ),
        leases,
    )
    each(lambda some: commands.Archived([lease.job_id for lease in some]), leases)
    meter.run([commands.Purge(f"{name}{i}", 2**51 - 1, "bench") for i in range(jobs)], "1 job")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=20_000)
    jobs = parser.parse_args().jobs
    with (
        tempfile.TemporaryDirectory() as folder,
        embedded.valkey(Path(folder), appendfsync="no") as server,
        connect(server.url, timeout_seconds=30) as client,
    ):
        meter = Meter(client)
        Lanes(client, Keys("bench")).run(commands.Turns(TURN, 0))
        for batch, name in ((1, "1 job"), (64, "64 jobs")):
            measure(meter, jobs, batch, name)
        meter.run([commands.Claim(1, 30) for _ in range(jobs)], "empty ring")
        meter.run([commands.Expire() for _ in range(jobs)], "nothing to do")
        meter.run([commands.InspectLane("nobody") for _ in range(jobs)], "empty lane")
    print("microseconds a call: time in the script, processor time of the server")
    for name, (script_us, cpu_us) in sorted(meter.costs_us.items()):
        print(f"  {name:32}{script_us:8.2f}{cpu_us:8.2f}")


if __name__ == "__main__":
    main()
