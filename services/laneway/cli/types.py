"""The subcommand about what can be enqueued."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from laneway.cli import session
from laneway.cli.output import NOT_FOUND, AsJson, exit_codes, json_line, table

if TYPE_CHECKING:
    from laneway.client import TypeView

PANEL = "Your jobs"


@exit_codes
def types(
    name: Annotated[
        str | None, typer.Argument(help="Show this type alone, with its schemas.", metavar="[TYPE]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what can be enqueued, or show what a type takes and gives."""
    with session.connect() as client:
        found = [type_ for type_ in client.types() if name in (None, type_.name)]
    if name is not None and not found:
        typer.echo(f"laneway: there is no type {name!r}; `laneway types` lists all", err=True)
        raise typer.Exit(NOT_FOUND)
    if name is not None and not as_json:
        _print(found[0])
        return
    rows = ((type_, (type_.name, _first_line(type_.description), _fields(type_))) for type_ in found)
    table(("TYPE", "DESCRIPTION", "TAKES"), rows, as_json=as_json)


COMMANDS = (types,)


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


def _fields(type_: TypeView) -> str:
    """Return in brief what a type takes: the fields of an object, with `?` after those that may be left out."""
    schema = type_.request
    required = schema.get("required", ())
    fields = [field if field in required else f"{field}?" for field in schema.get("properties", ())]
    return ", ".join(fields) or str(schema.get("type", "any JSON"))


def _print(type_: TypeView) -> None:
    typer.echo(type_.name)
    for line in type_.description.splitlines():
        typer.echo(f"  {line}")
    facts = {
        "attempts": type_.max_attempts,
        "soft time limit": _seconds(type_.soft_time_limit_seconds),
        "time limit": _seconds(type_.time_limit_seconds),
        "running at once": type_.max_running or "any number",
        "rate of starts": type_.rate or "any",
        "largest request": f"{type_.request_max_bytes} bytes",
        "largest result": f"{type_.result_max_bytes} bytes",
        "request": json_line(type_.request) if type_.request else "any JSON",
        "result": json_line(type_.result) if type_.result else "any JSON",
    }
    for name, value in facts.items():
        typer.echo(f"  {name:15}  {value}")


def _seconds(limit: float | None) -> str:
    return "none" if limit is None else f"{limit:g} s"
