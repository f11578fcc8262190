"""Subcommands for administrators: lanes, dead letters and users of everybody.

More than 250 lines, because each option is a parameter with its help, in a line or two of its own.
"""

from __future__ import annotations

import itertools
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from laneway.choices import LaneOrder
from laneway.cli import operations, session
from laneway.cli.output import AsJson, age, done, exit_codes, json_line, show, table

if TYPE_CHECKING:
    from laneway.client import JobView

PANEL = "For administrators"

_User = Annotated[str, typer.Argument(help="Name of the user.", metavar="USER")]
_JobId = Annotated[str, typer.Argument(help="The job's id.", metavar="JOB_ID")]


class Role(StrEnum):
    """What a user may do."""

    USER = "user"
    ADMIN = "admin"


@exit_codes
def lanes(
    name: Annotated[str | None, typer.Argument(help="How the users' names begin.", metavar="[NAME]")] = None,
    sort: Annotated[LaneOrder, typer.Option(help="What to sort by; the largest first.")] = LaneOrder.USER,
    limit: Annotated[int | None, typer.Option(min=1, help="List no more than this.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the lanes that hold something."""
    with session.connect() as client:
        rows = (
            (
                lane,
                (
                    lane.user,
                    str(lane.jobs),
                    str(lane.taken),
                    str(lane.slots or "paused"),
                    age(lane.waits_since),
                    "" if lane.failures is None else str(lane.failures),
                ),
            )
            for lane in itertools.islice(client.admin.lanes(sort.value, name=name), limit)
        )
        table(("USER", "JOBS", "RUNNING", "SLOTS", "WAITS", "FAILURES"), rows, as_json=as_json)


@exit_codes
def pause(user: _User, as_json: AsJson = False) -> None:
    """Start nothing more of a lane until it is resumed. Running jobs go on."""
    with session.connect() as client:
        client.admin.pause(user)
    done(f"paused {user}", as_json=as_json)


@exit_codes
def resume(user: _User, as_json: AsJson = False) -> None:
    """Let a paused lane go on."""
    with session.connect() as client:
        client.admin.resume(user)
    done(f"resumed {user}", as_json=as_json)


@exit_codes
def purge(
    user: _User,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Cancel the waiting jobs of a lane. Running jobs go on."""
    if not yes:
        typer.confirm(f"Cancel everything that waits in the lane of {user}?", abort=True)
    with session.connect() as client:
        cancelled = client.admin.purge(user)
    show({"cancelled": cancelled}, as_json=as_json, line=f"cancelled {cancelled} jobs")


@exit_codes
def limit(
    user: _User,
    slots: Annotated[int | None, typer.Argument(min=1, help="Left out, the default is restored.")] = None,
    as_json: AsJson = False,
) -> None:
    """Set how many jobs of a lane may be in flight at once."""
    with session.connect() as client:
        client.admin.limit(user, slots)
    done(f"{user} has {slots or 'the default number of'} slots", as_json=as_json)


@exit_codes
def audit(
    limit: Annotated[int, typer.Option(min=1, help="How many entries to list at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List what administrators did, newest first."""
    with session.connect() as client:
        rows = (
            (
                entry,
                (
                    f"{entry.at:%Y-%m-%d %H:%M:%S}",
                    entry.by,
                    entry.action,
                    entry.user or "",
                    entry.address,
                    json_line(entry.details),
                ),
            )
            for entry in itertools.islice(client.admin.audit(), limit)
        )
        table(("TIME (UTC)", "BY", "ACTION", "USER", "FROM", "DETAILS"), rows, as_json=as_json)


@exit_codes
def users(
    name: Annotated[str | None, typer.Argument(help="How the names begin.", metavar="[NAME]")] = None,
    role: Annotated[Role | None, typer.Option(help="Only users with this role.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the users, with their last log-in and the jobs in their lanes."""
    with session.connect() as client:
        rows = (
            (
                user,
                (
                    user.username,
                    user.role,
                    age(user.created_at),
                    age(user.last_login_at),
                    str(user.jobs),
                ),
            )
            for user in client.admin.users(name, role=role.value if role else None)
        )
        table(("USER", "ROLE", "AGE", "LAST LOG-IN", "JOBS"), rows, as_json=as_json)


@exit_codes
def role(
    user: _User, role: Annotated[Role, typer.Argument(help="The new role.")], as_json: AsJson = False
) -> None:
    """Give a user a role."""
    with session.connect() as client:
        client.admin.set_role(user, role.value)
    done(f"{user} is {role.value}", as_json=as_json)


dead = typer.Typer(help="Failed jobs that nobody has retried or dropped.", no_args_is_help=True)


_OfUser = Annotated[str | None, typer.Option("--user", help="Only those of this user.")]


def _error(job: JobView) -> str:
    error = job.error if isinstance(job.error, dict) else {}
    return f"{error.get('type', '')}: {error.get('message', '')}"[:80]


@dead.command("list")
@exit_codes
def list_dead(
    user: _OfUser = None,
    type_: operations.OfType = None,
    failure: operations.OfFailure = None,
    as_json: AsJson = False,
) -> None:
    """List failed jobs with their errors, in order of acceptance."""
    with session.connect() as client:
        rows = (
            (job, (job.user, job.job_id, job.type, age(job.finished_at), _error(job)))
            for job in client.admin.dead_letters(user, type_=type_, failure=failure)
        )
        table(("USER", "ID", "TYPE", "AGE", "ERROR"), rows, as_json=as_json)


@dead.command("retry")
@exit_codes
def retry_dead(user: _User, job_id: _JobId, as_json: AsJson = False) -> None:
    """Enqueue a failed job's request again, as a new job."""
    with session.connect() as client:
        accepted = client.admin.retry_dead_letter(user, job_id)
    show(accepted, as_json=as_json, line=accepted.job_id)


@dead.command("retry-all")
@exit_codes
def retry_all_dead(
    user: _OfUser = None,
    type_: operations.OfType = None,
    failure: operations.OfFailure = None,
    dry_run: operations.DryRun = False,
    yes: operations.Yes = False,
    detach: operations.Detach = False,
    as_json: AsJson = False,
) -> None:
    """Enqueue failed requests again, each user's in the order in which they were accepted."""
    operations.run(
        "retry",
        as_admin=True,
        dry_run=dry_run,
        yes=yes,
        detach=detach,
        as_json=as_json,
        user=user,
        type=type_,
        failure=failure,
    )


@dead.command("drop")
@exit_codes
def drop_dead(user: _User, job_id: _JobId, as_json: AsJson = False) -> None:
    """Drop a failed job from the dead letters. It stays in its user's history."""
    with session.connect() as client:
        client.admin.drop_dead_letter(user, job_id)
    done(f"dropped {job_id}", as_json=as_json)


@dead.command("drop-all")
@exit_codes
def drop_all_dead(
    user: _OfUser = None,
    type_: operations.OfType = None,
    failure: operations.OfFailure = None,
    dry_run: operations.DryRun = False,
    yes: operations.Yes = False,
    detach: operations.Detach = False,
    as_json: AsJson = False,
) -> None:
    """Drop failed jobs from the dead letters. They stay in their users' history."""
    operations.run(
        "drop",
        as_admin=True,
        dry_run=dry_run,
        yes=yes,
        detach=detach,
        as_json=as_json,
        user=user,
        type=type_,
        failure=failure,
    )


COMMANDS = (lanes, pause, resume, purge, limit, users, role, audit)
