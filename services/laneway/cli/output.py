"""How answers are printed, and which exit code an error has.

Exit codes: 0 done, 1 the job failed or was cancelled, or an operation did nothing to some jobs, 2 wrong usage or refused input, 3 not found or not allowed,
4 the API is unavailable, 124 out of time (as `timeout` of coreutils).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import wraps
from typing import Annotated, Any, ParamSpec, TypeVar

import typer

P = ParamSpec("P")
T = TypeVar("T")

JOB_FAILED = INCOMPLETE = 1
USAGE, NOT_FOUND, UNAVAILABLE, TIMED_OUT = 2, 3, 4, 124

PIPE_COLUMNS = 10_000
"""Width of a table that is piped: lines are not cut."""
_COPIED = frozenset({"ID", "EXAMPLE"})
"""Columns that people copy from: they are never wrapped."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON lines, for programs.")]


def exit_codes(command: Callable[P, T]) -> Callable[P, T]:
    """Print an error of the client as one line, and exit with its code."""

    @wraps(command)
    def run(*args: P.args, **options: P.kwargs) -> T:
        from laneway.client import ClientError  # noqa: PLC0415 - see the package's docstring

        try:
            return command(*args, **options)
        except ClientError as error:
            typer.echo(f"laneway: {error}", err=True)
            for fault in getattr(error, "errors", ()):
                line = f"{fault.get('pointer', '')}: {fault.get('detail', '')}"
                if line not in str(error):  # the first few faults are a part of its text
                    typer.echo(f"  {line}", err=True)
            raise typer.Exit(_code(error)) from None
        except BrokenPipeError:
            sys.stderr.close()  # the reader has gone: nothing is left to say, and Python must not complain
            raise typer.Exit(0) from None

    return run


def _code(error: Exception) -> int:
    from laneway import client  # noqa: PLC0415 - see the package's docstring

    match error:
        case client.ServerUnavailable() | client.TooManyRequests():
            return UNAVAILABLE
        case client.NotFound() | client.Forbidden() | client.Unauthorized():
            return NOT_FOUND
        case client.JobNotEnded() | client.OperationNotEnded():
            return TIMED_OUT
    return USAGE


def show(value: Any, *, as_json: bool, line: str) -> None:
    """Print one thing: `value` as a JSON line, or `line` for people."""
    typer.echo(json_line(value) if as_json else line)


def done(text: str, *, as_json: bool) -> None:
    """Say what was done."""
    show({"message": text}, as_json=as_json, line=text)


def table(columns: Sequence[str], rows: Iterable[tuple[Any, Sequence[str]]], *, as_json: bool) -> None:
    """Print many things: each row is a value, for JSON, and its cells, for people.

    When piped, each row is one line. On a terminal, other columns give way to those that people copy from.
    """
    if as_json:
        for value, _ in rows:
            typer.echo(json_line(value))
        return
    from rich.console import Console  # noqa: PLC0415 - only where a table is printed
    from rich.table import Column, Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    heads = [Column(name, no_wrap=name in _COPIED) for name in columns]
    grid = Table(*heads, box=None, pad_edge=False, header_style="bold")
    for _, cells in rows:
        grid.add_row(*(Text("\n".join(map(printable, cell.split("\n")))) for cell in cells))
    Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS).print(grid)


def with_bar(things: Iterable[T], what: str, total: int | None) -> Iterator[T]:
    """Yield the items, with a progress bar on standard error. There is none if standard output is a terminal: it shows the items."""
    from rich.console import Console  # noqa: PLC0415 - only where a bar is shown
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    is_shown = console.is_terminal and not sys.stdout.isatty()
    with Progress(
        *columns, console=console, transient=True, disable=not is_shown, redirect_stdout=False
    ) as progress:
        yield from progress.track(things, total=total, description=what)


def json_line(value: Any) -> str:
    """A value as one line of JSON."""
    import msgspec  # noqa: PLC0415 - see the package's docstring

    return msgspec.json.encode(value).decode()


def printable(text: str) -> str:
    """Text of others for a terminal: characters that could move its cursor or change its colours become escapes."""
    return "".join(c if c.isprintable() or c == "\t" else ascii(c)[1:-1] for c in text)


def age(moment: datetime | None) -> str:
    """How long ago a moment was, for a table: `12 s`, `5 min`, `3 h`, `2 d`."""
    if moment is None:
        return ""
    return duration(round(max(0, (datetime.now(UTC) - moment).total_seconds())))


def duration(seconds: float) -> str:
    """A duration for a table, in the unit that fits it: `3 ms`, `1.2 s`, `5 min`, `2 d`."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.2g} s" if seconds >= 1 or not seconds else f"{seconds * 1000:.2g} ms"
