"""Subcommands for administrators that show what the deployment does, as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from laneway.cli import session
from laneway.cli.output import AsJson, age, duration, exit_codes, json_line, table

if TYPE_CHECKING:
    from laneway.client.admin_models import Counts, Quantiles, RunningJob

PANEL = "For administrators"
_COLUMNS = (
    "TIME (UTC)",
    "ACCEPTED",
    "STARTED",
    "SUCCEEDED",
    "FAILED",
    "CANCELLED",
    "WAIT p50/95/99",
    "RUN p50/95/99",
)
_WORKER_COLUMNS = ("WORKER", "STATE", "PROCESSES", "IN FLIGHT", "RUNS", "USER", "TYPE", "SINCE")


@exit_codes
def overview(
    hours: Annotated[float, typer.Option(min=0.05, max=2160, help="How far back to look.")] = 1,
    step: Annotated[int, typer.Option(min=1, max=1440, help="Minutes of one line.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Show how many jobs were accepted, started and ended, and how long they waited and ran."""
    until = datetime.now(UTC)
    with session.connect() as client:
        found = client.admin.overview(until - timedelta(hours=hours), until, step_seconds=60 * step)
    if as_json:
        typer.echo(json_line(found))
        return
    rows = [(point, (f"{point.at:%Y-%m-%d %H:%M}", *_cells(point))) for point in found.points]
    table(_COLUMNS, [*rows, (found.total, ("total", *_cells(found.total)))], as_json=False)
    if (now := found.now) is not None:
        typer.echo(
            f"now: {now.jobs} jobs in {now.lanes} lanes, {now.in_flight} of them in flight, {now.retrying} wait for a retry; "
            f"{now.delayed} delayed"
        )


@exit_codes
def ring(
    limit: Annotated[int, typer.Option(min=1, max=100, help="List no more lanes than this.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the next lanes in the order in which they take turns, and the lanes that are served now."""
    with session.connect() as client:
        found = client.admin.ring(limit)
    if as_json:
        typer.echo(json_line(found))
        return
    served = {lane.user: lane for lane in found.served}
    rows: list[tuple[Any, tuple[str, ...]]] = []
    for place, lane in enumerate(found.lanes, 1):
        waits = duration(max(0, (found.at - lane.since).total_seconds()))
        in_flight = served[lane.user].in_flight if lane.user in served else 0
        slots = f"{lane.taken} of {lane.slots}"
        rows.append((lane, (str(place), lane.user, str(lane.jobs), slots, str(in_flight), waits)))
    in_ring = {lane.user for lane in found.lanes}
    rows += [
        (lane, ("", lane.user, "", "", str(lane.in_flight), ""))
        for lane in found.served
        if lane.user not in in_ring
    ]
    table(("TURN", "USER", "JOBS", "SLOTS", "IN FLIGHT", "WAITS"), rows, as_json=False)
    typer.echo(f"{found.length} lanes in the ring{', and more jobs in flight' if found.truncated else ''}")


@exit_codes
def workers(as_json: AsJson = False) -> None:
    """List the workers that are alive, and what each runs now."""
    with session.connect() as client:
        found = client.admin.workers()
    rows: list[tuple[Any, tuple[str, ...]]] = []
    for worker in found.workers:
        state = f"{worker.state}: {'; '.join(worker.problems.values())}" if worker.problems else worker.state
        rows.append(
            (worker, (worker.name, state, str(worker.processes), str(worker.in_flight), "", "", "", ""))
        )
        rows += _running(worker.jobs, as_json=as_json)
    rows += _running(found.jobs_without_worker, as_json=False)
    table(_WORKER_COLUMNS, rows, as_json=as_json)


@exit_codes
def pools(as_json: AsJson = False) -> None:
    """List the pools: how many workers the operator wants, how many there are, and why."""
    with session.connect() as client:
        found = client.admin.pools()
    if found.note and not as_json:
        typer.echo(found.note)
        return
    rows = []
    for pool in found.pools:
        have = pool.replicas
        cells = (str(have.wanted), str(have.ready), str(have.pinned)) if have else ("", "", "")
        rows.append((pool, (pool.name, *cells, pool.cause, pool.reason, age(pool.reported_at))))
    table(("POOL", "WANTED", "READY", "PINNED", "CAUSE", "REASON", "AGE"), rows, as_json=as_json)


@exit_codes
def failures(
    user: Annotated[str | None, typer.Option(help="Only those of this user.")] = None,
    type_: Annotated[str | None, typer.Option("--type", help="Only those of this type.")] = None,
    as_json: AsJson = False,
) -> None:
    """List failures that nobody has retried or dropped, in groups by type and error.

    `laneway dead retry-all` and `drop-all` take a group's FAILURE as `--failure`.
    """
    with session.connect() as client:
        found = client.admin.failures(user, type_=type_)
    rows = (
        (
            group,
            (
                str(group.count),
                group.type,
                group.failure,
                age(group.first_at),
                age(group.last_at),
                f"{group.example.user} {group.example.job_id}",
            ),
        )
        for group in found.groups
    )
    table(("COUNT", "TYPE", "FAILURE", "FIRST", "LAST", "EXAMPLE"), rows, as_json=as_json)


COMMANDS = (overview, ring, workers, pools, failures)


def _running(jobs: Sequence[RunningJob], *, as_json: bool) -> list[tuple[Any, tuple[str, ...]]]:
    """Rows below their worker. JSON has them within the worker."""
    return [
        (
            job,
            (
                job.worker or "",
                "",
                "",
                "",
                job.job_id,
                job.user,
                f"{job.type} #{job.attempt}",
                age(job.started_at),
            ),
        )
        for job in ([] if as_json else jobs)
    ]


def _cells(counts: Counts) -> tuple[str, ...]:
    ended = counts.ended
    numbers = (counts.accepted, counts.started, ended.succeeded, ended.failed, ended.cancelled)
    return (*map(str, numbers), _times(counts.wait_seconds), _times(counts.run_seconds))


def _times(quantiles: Quantiles | None) -> str:
    if quantiles is None:
        return ""
    return " / ".join(map(duration, (quantiles.p50, quantiles.p95, quantiles.p99)))
