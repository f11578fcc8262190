"""The subcommand that shows the deployment live, on the whole screen.

It reads what `overview`, `lanes` and `workers` print, again and again. It only looks.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from laneway.cli import session
from laneway.cli.output import USAGE, age, duration, exit_codes

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from laneway.client import Client
    from laneway.client.admin_models import Overview

PANEL = "For administrators"
_MINUTES = 5
"""How far back the figures reach."""
_PIPED = (
    "top needs a terminal; `laneway overview`, `lanes` and `workers` print the same once, also with --json"
)
_QUIT = b"qQ"


@exit_codes
def top(
    every: Annotated[float, typer.Option(min=0.2, max=3600, help="Seconds between two looks.")] = 2,
) -> None:
    """Show what the deployment does, live, until q or Ctrl-C."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        typer.echo(f"laneway: {_PIPED}", err=True)
        raise typer.Exit(USAGE)
    from rich.console import Console  # noqa: PLC0415 - only where it is used
    from rich.live import Live  # noqa: PLC0415

    console = Console(markup=False, highlight=False)  # what users and workers write has no meaning here
    with session.connect() as client, suppress(KeyboardInterrupt):
        page = _page(client)  # an error is printed before the screen is taken
        with _single_keys(), Live(page, console=console, screen=True, auto_refresh=False) as live:
            while not _asked_to_quit(every):
                page, notice = _next_page(client, page)
                live.update(_below(notice, page), refresh=True)


COMMANDS = (top,)


@contextmanager
def _single_keys() -> Iterator[None]:
    """Get keys as they are pressed, without showing them. Ctrl-C stays an interrupt."""
    import termios  # noqa: PLC0415
    import tty  # noqa: PLC0415

    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _asked_to_quit(seconds: float) -> bool:
    """Wait for a key, at most this long. A terminal that has gone asks to quit, too."""
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    if not ready:
        return False
    pressed = os.read(sys.stdin.fileno(), 64)
    return not pressed or any(key in _QUIT for key in pressed)


def _next_page(client: Client, before: Table) -> tuple[Table, str]:
    """Return a new page; or, while the API does not answer, the one before and why."""
    from laneway.client import ServerUnavailable, TooManyRequests  # noqa: PLC0415

    try:
        return _page(client), ""
    except (ServerUnavailable, TooManyRequests) as error:
        return before, f"{error}; these figures are old"


def _below(notice: str, page: Table) -> RenderableType:
    from rich.console import Group  # noqa: PLC0415

    return Group(notice, page) if notice else page


def _page(client: Client) -> Table:
    """Return the figures, the workers and the lanes below each other. The screen cuts off lanes that do not fit."""
    from rich.table import Table  # noqa: PLC0415

    until = datetime.now(UTC)
    found = client.admin.overview(until - timedelta(minutes=_MINUTES), until, step_seconds=60)
    page = Table.grid(padding=(0, 0, 1, 0))
    page.add_row(_figures(found))
    page.add_row(_workers(client))
    page.add_row(_lanes(client))
    return page


def _figures(found: Overview) -> str:
    total, now = found.total, found.now
    wait = f", waited {duration(total.wait_seconds.p50)} (median)" if total.wait_seconds else ""
    ended = total.ended
    title = f"Laneway, {datetime.now(UTC):%H:%M:%S} UTC; q quits"
    past = f"last {_MINUTES} minutes: {total.accepted} accepted, {total.started} started{wait}"
    past += f", {ended.succeeded} succeeded, {ended.failed} failed, {ended.cancelled} cancelled"
    held = (
        f"now: {now.jobs} jobs in {now.lanes} lanes, {now.in_flight} in flight, {now.delayed} delayed"
        if now
        else "now: Redis does not answer"
    )
    return f"{title}\n{past}\n{held}"


def _workers(client: Client) -> Table:
    grid = _grid("WORKER", "STATE", "PROCESSES", "IN FLIGHT")
    for worker in client.admin.workers().workers:
        state = "; ".join((worker.state, *worker.problems.values()))
        grid.add_row(worker.name, state, str(worker.processes), str(worker.in_flight))
    return grid


def _lanes(client: Client) -> Table:
    """Return the lanes that have the most jobs, as many as a screen may hold."""
    from itertools import islice  # noqa: PLC0415
    from shutil import get_terminal_size  # noqa: PLC0415

    grid = _grid("USER", "JOBS", "RUNNING", "SLOTS", "WAITS")
    for lane in islice(client.admin.lanes("backlog"), get_terminal_size().lines):
        slots = str(lane.slots or "paused")
        grid.add_row(lane.user, str(lane.jobs), str(lane.taken), slots, age(lane.waits_since))
    return grid


def _grid(*columns: str) -> Table:
    from rich.table import Table  # noqa: PLC0415

    return Table(*columns, box=None, pad_edge=False, header_style="bold")
