"""Subcommands about the caller's jobs.

More than 250 lines, because each option is a parameter with its help, in a line or two of its own.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from laneway.cli import fields, operations, payloads, session
from laneway.cli.output import (
    JOB_FAILED,
    USAGE,
    AsJson,
    age,
    exit_codes,
    json_line,
    printable,
    show,
    table,
    with_bar,
)

if TYPE_CHECKING:
    from laneway.client import Client, Event, JobView, LoggedRun, LogLine

PANEL = "Your jobs"

_JobId = Annotated[str, typer.Argument(help="The job's id.", metavar="JOB_ID")]
_Since = Annotated[datetime | None, typer.Option(help="Only jobs accepted at this time or later.")]
_Until = Annotated[datetime | None, typer.Option(help="Only jobs accepted before this time.")]
_Timeout = Annotated[
    float | None,
    typer.Option(help="Seconds to wait for the end of the job; by default for as long as it takes."),
]


@exit_codes
def enqueue(
    type_: Annotated[str, typer.Argument(help="Name of the handler.", metavar="TYPE")],
    payload: Annotated[
        list[str] | None,
        typer.Argument(
            help="JSON; `-` reads it from standard input, `@FILE` from a file; or the fields of the type's schema, for example "
            "`--name Ada --times 2`. By default null.",
            metavar="JSON | --FIELD VALUE",
        ),
    ] = None,
    lines: Annotated[
        Path | None,
        typer.Option(help="Enqueue each line of this file of JSON lines (`-` is standard input) instead."),
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="Idempotency key: the same key enqueues nothing twice.")
    ] = None,
    delay: Annotated[
        float | None, typer.Option(min=0, help="Seconds from now at which the job enters your lane.")
    ] = None,
    not_before: Annotated[
        datetime | None, typer.Option(help="Local time at which the job enters your lane.")
    ] = None,
    unique_key: Annotated[
        str | None,
        typer.Option(help="While a job of yours with this key has not ended, no second one is made."),
    ] = None,
    wait: Annotated[bool, typer.Option(help="Wait for the end of the job and print it.")] = False,
    timeout: _Timeout = None,
    as_json: AsJson = False,
) -> None:
    """Put a request into your lane, or many from a file of JSON lines, in order."""
    from laneway.client import Request  # noqa: PLC0415 - see the package's docstring

    if lines is not None and unique_key is not None:
        raise typer.BadParameter(
            "--unique-key is for one request: of many lines, the first alone would make a job"
        )
    moment = not_before and not_before.astimezone()
    with session.connect() as client:
        if lines is not None:
            requests = (Request(type_, request, delay, moment) for request in _read_lines(lines))
            jobs = client.enqueue_many(requests, key=key)
            for job in with_bar(jobs, f"enqueue {type_}", _number_of_lines(lines)):
                show({"job_id": job.id}, as_json=as_json, line=job.id)
            return
        request = _request(client, type_, payload or ["null"])
        job = client.enqueue(type_, request, key=key, delay=delay, not_before=moment, unique_key=unique_key)
        if job.duplicate:
            typer.echo(f"{job.id} has the same unique key and has not ended: no job was made", err=True)
        if not wait:
            show({"job_id": job.id, "duplicate": job.duplicate}, as_json=as_json, line=job.id)
            return
        _print_end(job.wait(timeout), as_json=as_json)


@exit_codes
def jobs(
    state: Annotated[
        list[str] | None, typer.Option(help="Only jobs in this state; repeat it for several.")
    ] = None,
    type_: Annotated[str, typer.Option("--type", help="Only jobs of this type.")] = "",
    schedule: Annotated[str, typer.Option(help="Only jobs that this schedule has enqueued.")] = "",
    id_: Annotated[str, typer.Option("--id", help="Only jobs whose id begins with this.")] = "",
    error: Annotated[str, typer.Option(help="Only jobs whose error has this text in it.")] = "",
    since: _Since = None,
    until: _Until = None,
    oldest: Annotated[bool, typer.Option("--oldest", help="List the oldest first.")] = False,
    user: Annotated[str | None, typer.Option(help="For administrators: list this user's jobs.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many jobs to list at most.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List your jobs, newest first. Times are local, such as `2026-11-28T18:00:00`."""
    from laneway.client import JobFilters  # noqa: PLC0415 - see the package's docstring

    filters = JobFilters(state=state, type=type_, schedule=schedule, id=id_, error=error, oldest_first=oldest)
    if since:
        filters["since"] = since.astimezone()
    if until:
        filters["until"] = until.astimezone()
    with session.connect() as client:
        listed = client.admin.jobs(user, **filters) if user else client.jobs(**filters)
        found = itertools.islice(listed, limit)
        rows = (
            (job, (job.job_id, job.type, job.state, str(job.attempts), age(job.enqueued_at))) for job in found
        )
        table(("ID", "TYPE", "STATE", "ATTEMPTS", "AGE"), rows, as_json=as_json)


@exit_codes
def show_job(job_id: _JobId, as_json: AsJson = False) -> None:
    """Show one job: its state, its payload, and its result or error."""
    with session.connect() as client:
        _print(client.job(job_id), as_json=as_json)


show_job.__name__ = "show"


@exit_codes
def retry(
    job_id: _JobId,
    payload: Annotated[
        str | None,
        typer.Argument(help="Another payload: JSON, `-` for standard input, `@FILE`. By default the same."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run an ended job's request again, as a new job, unchanged or with another payload."""
    with session.connect() as client:
        if payload is None:
            job = client.run_again(job_id)
        else:
            request = payloads.parse(payloads.read(payload), "the payload")
            ended = client.job(job_id)
            job = client.enqueue(ended.type, request, unique_key=ended.unique_key)
    if job.duplicate:
        typer.echo(f"laneway: job {job.id} has the same unique key and has not ended", err=True)
        raise typer.Exit(USAGE)
    show({"job_id": job.id}, as_json=as_json, line=job.id)


@exit_codes
def wait(job_id: _JobId, timeout: _Timeout = None, as_json: AsJson = False) -> None:
    """Wait until a job has ended. The exit code is 1 when it has failed, 124 when it takes too long."""
    from laneway.client import Job  # noqa: PLC0415 - see the package's docstring

    with session.connect() as client:
        _print_end(Job(client, job_id).wait(timeout), as_json=as_json)


@exit_codes
def why(job_id: _JobId, as_json: AsJson = False) -> None:
    """Say why a job has not started."""
    with session.connect() as client:
        explained = client.why(job_id)
    show(explained, as_json=as_json, line=explained.sentence)


@exit_codes
def logs(
    job_id: _JobId,
    follow: Annotated[
        bool,
        typer.Option("--follow", "-f", help="Print new lines as they are logged, up to the end of the job."),
    ] = False,
    user: Annotated[
        str | None, typer.Option(help="Whose job it is, for administrators; not with --follow.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the log of a job, with times in UTC."""
    from laneway.client import Job  # noqa: PLC0415 - see the package's docstring

    if follow and user:
        raise typer.BadParameter(
            "live lines are sent only to the user whose job it is", param_hint="--follow"
        )
    with session.connect() as client:
        if follow:
            for line in Job(client, job_id).follow_log():
                show(line, as_json=as_json, line=_log_line(line))
            return
        log = client.admin.logs(user, job_id) if user else client.logs(job_id)
    if as_json:
        typer.echo(json_line(log))
        return
    if log.dropped_runs:
        typer.echo(f"-- {log.dropped_runs} older runs had no room")
    for run in log.runs:
        notes = {"running": ", which goes on", "lost": ", which was lost: its last lines may be missing"}
        typer.echo(printable(f"-- attempt {run.attempt}{notes.get(run.state, '')}{_why_ended(run)}"))
        for line in run.lines:
            typer.echo(_log_line(line))


@exit_codes
def watch(as_json: AsJson = False) -> None:
    """Print what happens to your jobs, as it happens, until Ctrl-C."""
    with session.connect() as client:
        for event in client.watch():
            show(event, as_json=as_json, line=f"{event.job_id or '-':25}  {_what(event)}")


@exit_codes
def cancel(
    job_id: Annotated[str | None, typer.Argument(help="The job's id.", metavar="[JOB_ID]")] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="All jobs that match the options below, instead of one.")
    ] = False,
    type_: operations.OfType = None,
    state: Annotated[
        list[str] | None,
        typer.Option(help="Only jobs in this state (queued, running, retrying); repeat it for several."),
    ] = None,
    since: _Since = None,
    until: _Until = None,
    user: Annotated[str | None, typer.Option(help="For administrators: of this user.")] = None,
    everybody: Annotated[bool, typer.Option("--everybody", help="For administrators: of all users.")] = False,
    dry_run: operations.DryRun = False,
    yes: operations.Yes = False,
    detach: operations.Detach = False,
    as_json: AsJson = False,
) -> None:
    """Cancel a job, or all that match. Running ones are asked to stop."""
    filters = operations.filters_of(type_, state, since, until)
    is_filtered = any(filters.values()) or user or everybody or dry_run or detach
    if (job_id is None) != all_ or (job_id and is_filtered):
        raise typer.BadParameter("give the id of a job, or --all with the options that select jobs")
    if job_id is None:
        filters |= {"user": user} if user else {}
        operations.run(
            "cancel",
            as_admin=everybody or user is not None,
            dry_run=dry_run,
            yes=yes,
            detach=detach,
            as_json=as_json,
            **filters,
        )
        return
    with session.connect() as client:
        cancellation = client.cancel(job_id)
    line = "cancelled" if cancellation.state == "cancelled" else "asked to stop"
    show(cancellation, as_json=as_json, line=line)


@exit_codes
def retry_all(
    type_: operations.OfType = None,
    failure: operations.OfFailure = None,
    dry_run: operations.DryRun = False,
    yes: operations.Yes = False,
    detach: operations.Detach = False,
    as_json: AsJson = False,
) -> None:
    """Run your failed jobs again, as new jobs, in the order of acceptance."""
    operations.run(
        "retry",
        as_admin=False,
        dry_run=dry_run,
        yes=yes,
        detach=detach,
        as_json=as_json,
        type=type_,
        failure=failure,
    )


COMMANDS = (enqueue, jobs, show_job, wait, why, logs, watch, cancel, retry, retry_all)


def _request(client: Client, type_: str, arguments: list[str]) -> Any:
    """Return the payload that the arguments give, whole or by fields."""
    if len(arguments) == 1 and not arguments[0].startswith("--"):
        return payloads.parse(payloads.read(arguments[0]), "the payload")
    schemas = (known.request for known in client.types() if known.name == type_)
    return fields.payload_of(arguments, next(schemas, {}))


def _why_ended(run: LoggedRun) -> str:
    if run.error is None:
        return ""
    # An interruption is no exception: its type would only repeat the outcome.
    kind = "" if run.outcome == "interrupted" else f"{run.error['type']}: "
    return f", {run.outcome}: {kind}{run.error['message']}"


def _log_line(line: LogLine) -> str:
    return f"{line.at:%H:%M:%S.%f}"[:-3] + f" {line.level:8} {printable(line.text)}"


def _what(event: Event) -> str:
    if event.lines:
        return f"\n{'':27}".join(map(_log_line, event.lines))
    return event.state or (f"{event.percent:g} % {event.note}" if event.percent is not None else event.event)


def _number_of_lines(path: Path) -> int | None:
    """Return how many requests a file holds. None for standard input and for pipes, which can be read only once."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return sum(bool(line.strip()) for line in file)


def _read_lines(path: Path) -> Iterator[Any]:
    try:
        file = sys.stdin if str(path) == "-" else path.open(encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be read: {error.strerror}") from error
    with file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield payloads.parse(line, f"line {number}")


def _print(job: JobView, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json_line(job))
        return
    facts: dict[str, Any] = {
        "state": job.state,
        "type": job.type,
        "attempts": f"{job.attempts} of {job.max_attempts}",
        "position": job.position,
        "progress": None if job.progress is None else f"{job.progress:g} % {job.note or ''}",
        "enqueued": job.enqueued_at,
        "started": job.started_at,
        "finished": job.finished_at,
        "worker": job.worker,
        "reason": job.reason,
        "unique": job.unique_key,
        "schedule": job.schedule,
        "request": json_line(job.request),
        "result": None if job.result is None else json_line(job.result),
        "error": None if job.error is None else json_line(job.error),
    }
    typer.echo(job.job_id)
    for name, value in facts.items():
        if value is not None:
            typer.echo(f"  {name:9} {value}")


def _print_end(job: JobView, *, as_json: bool) -> None:
    _print(job, as_json=as_json)
    if job.state != "succeeded":
        raise typer.Exit(JOB_FAILED)
