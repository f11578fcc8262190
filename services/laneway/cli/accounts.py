"""Subcommands about the caller: register, log in and out, and the caller's lane."""

from __future__ import annotations

from typing import Annotated

import typer

from laneway.cli import session
from laneway.cli.output import AsJson, exit_codes, show

PANEL = "Your account and lane"

_Url = Annotated[str, typer.Option(envvar="LANEWAY_URL", help="Address of the API.")]
_Username = Annotated[str, typer.Option(prompt=True, help="Name of the user.")]
_Password = Annotated[
    str,
    typer.Option(prompt=True, hide_input=True, envvar="LANEWAY_PASSWORD", help="Asked for when not given."),
]


@exit_codes
def register(username: _Username, password: _Password, url: _Url = session.DEFAULT_URL) -> None:
    """Register a user."""
    from laneway.client import Client  # noqa: PLC0415 - see the package's docstring

    with Client(url, retry_seconds=10) as client:
        client.register(username, password)
    typer.echo(f"registered {username}")


@exit_codes
def login(username: _Username, password: _Password, url: _Url = session.DEFAULT_URL) -> None:
    """Log in, and keep the token in a profile (`LANEWAY_PROFILE` names another than `default`)."""
    from laneway.client import Client  # noqa: PLC0415 - see the package's docstring

    name = session.selected_profile()
    with Client(url, username=username, password=password, retry_seconds=10) as client:
        path = session.save(name, session.Profile(url, username, client.login()))
    typer.echo(f"logged in as {username} at {url}; profile {path}")


@exit_codes
def logout() -> None:
    """Revoke the token and forget the profile. Without another open connection the user is disconnected now."""
    with session.connect() as client:
        client.logout()
    session.forget(session.selected_profile())
    typer.echo("logged out")


@exit_codes
def queue(as_json: AsJson = False) -> None:
    """Show your lane: how many jobs wait and run, and whether it is paused."""
    with session.connect() as client:
        lane = client.queue()
    state = "paused" if lane.paused else "active"
    oldest = "" if lane.oldest_seconds is None else f", the oldest for {lane.oldest_seconds:.1f} s"
    line = f"{state}: {lane.queued} waiting, {lane.running} running in {lane.slots} slots{oldest}"
    show(lane, as_json=as_json, line=line)


COMMANDS = (register, login, logout, queue)
