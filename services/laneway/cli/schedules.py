"""Subcommands about the caller's schedules."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from laneway.choices import Missed
from laneway.cli import payloads, session
from laneway.cli.output import AsJson, done, exit_codes, show, table

if TYPE_CHECKING:
    from laneway.client import ScheduleView

app = typer.Typer(help="Schedules: requests that are enqueued at given times.", no_args_is_help=True)
_Name = Annotated[str, typer.Argument(help="The schedule's name.", metavar="NAME")]
_User = Annotated[str | None, typer.Option(help="For administrators: the schedules of this user.")]


@app.command("list")
@exit_codes
def list_schedules(user: _User = None, as_json: AsJson = False) -> None:
    """List your schedules. Times are local."""
    with session.connect() as client:
        found = client.admin.schedules(user) if user else client.schedules()
    rows = (
        (
            schedule,
            (
                schedule.name,
                schedule.type,
                _timing(schedule),
                "paused" if schedule.paused else _local(schedule.next_at),
                _local(schedule.last_fired_at) if schedule.last_fired_at else "never",
                schedule.last_error or "",
            ),
        )
        for schedule in found
    )
    table(("NAME", "TYPE", "FIRES", "NEXT", "LAST", "ERROR"), rows, as_json=as_json)


@app.command("create")
@exit_codes
def create(
    name: _Name,
    type_: Annotated[str, typer.Argument(help="Name of the handler.", metavar="TYPE")],
    payload: payloads.Payload = "null",
    cron: Annotated[
        str | None, typer.Option(help="Five fields of cron: minute, hour, day, month, weekday.")
    ] = None,
    time_zone: Annotated[
        str | None, typer.Option(help="Time zone of --cron, such as Europe/Berlin; by default UTC.")
    ] = None,
    every: Annotated[int | None, typer.Option(help="Seconds between two jobs, instead of --cron.")] = None,
    missed: Annotated[
        Missed, typer.Option(help="Enqueue nothing, one job, or all jobs for missed fire times.")
    ] = Missed.ONCE,
    unique_key: Annotated[
        str | None,
        typer.Option(help="Skip a fire time while a job of yours with this key has not ended."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create a schedule, or replace the one of this name."""
    request = payloads.parse(payloads.read(payload), "the payload")
    with session.connect() as client:
        schedule = client.put_schedule(
            name,
            type_,
            request,
            cron=cron,
            time_zone=time_zone,
            every_seconds=every,
            missed=missed.value,
            unique_key=unique_key,
        )
    show(schedule, as_json=as_json, line=f"{name} fires {_timing(schedule)}, next {_local(schedule.next_at)}")


@app.command("next")
@exit_codes
def next_times(
    name: _Name,
    count: Annotated[int, typer.Option(min=1, max=100, help="How many.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Print when a schedule fires next, unless it is paused. Times are local."""
    with session.connect() as client:
        for time in client.next_fire_times(name, count):
            show(time, as_json=as_json, line=_local(time))


@app.command("pause")
@exit_codes
def pause(name: _Name, user: _User = None, as_json: AsJson = False) -> None:
    """Fire a schedule no more until it is resumed."""
    with session.connect() as client:
        if user:
            client.admin.pause_schedule(user, name)
        else:
            client.pause_schedule(name)
    done(f"paused {name}", as_json=as_json)


@app.command("resume")
@exit_codes
def resume(name: _Name, user: _User = None, as_json: AsJson = False) -> None:
    """Let a schedule fire again."""
    with session.connect() as client:
        if user:
            client.admin.resume_schedule(user, name)
        else:
            client.resume_schedule(name)
    done(f"resumed {name}", as_json=as_json)


@app.command("run")
@exit_codes
def run(name: _Name, as_json: AsJson = False) -> None:
    """Enqueue a schedule's request now."""
    with session.connect() as client:
        job = client.run_schedule(name)
    show({"job_id": job.id}, as_json=as_json, line=job.id)


@app.command("delete")
@exit_codes
def delete(name: _Name, user: _User = None, as_json: AsJson = False) -> None:
    """Delete a schedule. Jobs that it has enqueued stay."""
    with session.connect() as client:
        if user:
            client.admin.delete_schedule(user, name)
        else:
            client.delete_schedule(name)
    done(f"deleted {name}", as_json=as_json)


def _timing(schedule: ScheduleView) -> str:
    if schedule.cron is None:
        return f"every {schedule.every_seconds} s"
    return f"at {schedule.cron} {schedule.time_zone}"


def _local(time: datetime) -> str:
    return f"{time.astimezone():%Y-%m-%d %H:%M:%S}"
