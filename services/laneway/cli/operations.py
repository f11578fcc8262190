"""Subcommands that do something to all jobs that match, and the list of such operations."""

from __future__ import annotations

import itertools
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from laneway.cli import session
from laneway.cli.output import INCOMPLETE, AsJson, age, exit_codes, show, table

if TYPE_CHECKING:
    from laneway.client import Client, Operation, OperationView

DryRun = Annotated[bool, typer.Option("--dry-run", help="Count them, and change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Detach = Annotated[
    bool, typer.Option("--detach", help="Do not wait for the end. `laneway operations` shows how far it is.")
]
OfType = Annotated[str | None, typer.Option("--type", help="Only those of this type.")]
OfFailure = Annotated[
    str | None,
    typer.Option("--failure", help="Only those with this kind of failure, as `laneway failures` lists it."),
]
_Id = Annotated[str, typer.Argument(help="The operation's id.", metavar="OPERATION_ID")]
_AsAdmin = Annotated[bool, typer.Option("--everybody", help="For administrators: those of all users.")]
_SENTENCES = {
    "cancel": "Cancel {}?",
    "retry": "Enqueue the requests of {} again?",
    "drop": "Drop {}?",
}
_DONE = {"cancel": "cancelled or asked to stop", "retry": "enqueued again", "drop": "dropped"}

app = typer.Typer(help="Actions on all jobs that match.", no_args_is_help=True)


def run(
    action: str, *, as_admin: bool, dry_run: bool, yes: bool, detach: bool, as_json: bool, **filters: Any
) -> None:
    """Count the jobs that match, ask, do it, and show the progress. Exits with INCOMPLETE if nothing was done to some of them."""
    with session.connect() as client:
        source = client.admin if as_admin else client
        counted = source.count_matching(action, **filters)
        jobs = f"{'at least ' if counted.at_least else ''}{counted.count} {'job' if counted.count == 1 else 'jobs'}"
        if dry_run or not counted.count:
            show(counted, as_json=as_json, line=f"{jobs} match{'es' if counted.count == 1 else ''}")
            return
        if not yes:
            typer.confirm(_SENTENCES[action].format(jobs), abort=True, err=True)
        operation = source.start_operation(action, as_of=counted.as_of, **filters)
        if detach:
            show({"operation_id": operation.id}, as_json=as_json, line=operation.id)
            return
        view = _follow(operation)
    _print(view, as_json=as_json)


@app.command("list")
@exit_codes
def list_operations(
    everybody: _AsAdmin = False,
    limit: Annotated[int, typer.Option(min=1, help="How many to list at most.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List operations, newest first."""
    with session.connect() as client:
        source = client.admin if everybody else client
        rows = (
            (
                one,
                (
                    one.operation_id,
                    one.by,
                    one.action,
                    one.state,
                    f"{one.done} of {one.total}",
                    str(one.not_done),
                    age(one.created_at),
                ),
            )
            for one in itertools.islice(source.operations(), limit)
        )
        table(("ID", "BY", "ACTION", "STATE", "DONE", "NOT DONE", "AGE"), rows, as_json=as_json)


@app.command("show")
@exit_codes
def show_operation(operation_id: _Id, everybody: _AsAdmin = False, as_json: AsJson = False) -> None:
    """Show how far an operation is, and what it did nothing to, and why."""
    with session.connect() as client:
        view = _operation(client, operation_id, as_admin=everybody).look()
    show(view, as_json=as_json, line=_sentence(view))
    if not as_json:
        _print_reasons(view)


@app.command("wait")
@exit_codes
def wait_for_operation(operation_id: _Id, everybody: _AsAdmin = False, as_json: AsJson = False) -> None:
    """Show the progress of an operation until it has ended."""
    with session.connect() as client:
        view = _follow(_operation(client, operation_id, as_admin=everybody))
    _print(view, as_json=as_json)


@app.command("cancel")
@exit_codes
def cancel_operation(operation_id: _Id, everybody: _AsAdmin = False, as_json: AsJson = False) -> None:
    """End an operation. What has been done stays done."""
    with session.connect() as client:
        view = _operation(client, operation_id, as_admin=everybody).cancel()
    show(view, as_json=as_json, line=_sentence(view))


def filters_of(
    type_: str | None, state: list[str] | None, since: datetime | None, until: datetime | None
) -> dict[str, Any]:
    """The filter of a cancellation. Times without a time zone are local."""
    return {
        "type": type_,
        "state": state,
        "since": since and since.astimezone(),
        "until": until and until.astimezone(),
    }


def _operation(client: Client, operation_id: str, *, as_admin: bool) -> Operation:
    from laneway.client import Operation  # noqa: PLC0415 - see the package's docstring

    return Operation(client, operation_id, as_admin=as_admin)


def _follow(operation: Operation) -> OperationView:
    """Show a bar on the terminal until the operation has ended. Ctrl-C ends the bar, not the operation."""
    from rich.console import Console  # noqa: PLC0415 - only where a bar is shown
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            bar = progress.add_task(operation.id, total=None)
            for view in operation.watch():
                processed = view.done + view.not_done
                progress.update(
                    bar,
                    description=view.waits_for or view.action,
                    completed=processed,
                    total=max(view.total, processed),
                )
    except KeyboardInterrupt:
        typer.echo(
            f"The operation goes on. End it with `laneway operations cancel {operation.id}`.", err=True
        )
        raise typer.Exit(130) from None
    return operation.look()


def _print(view: OperationView, *, as_json: bool) -> None:
    show(view, as_json=as_json, line=_sentence(view))
    if not as_json:
        _print_reasons(view)
    if view.not_done or view.state == "cancelled":
        raise typer.Exit(INCOMPLETE)


def _sentence(view: OperationView) -> str:
    waits = f", waits: {view.waits_for}" if view.waits_for and not view.ended else ""
    return f"{view.state}: {view.done} {_DONE[view.action]}, {view.not_done} not{waits}"


def _print_reasons(view: OperationView) -> None:
    for reason in view.reasons:
        typer.echo(f"  {reason.count}: {reason.reason}", err=True)
