"""Subcommands about the caller: register, log in and out, and the caller's lane."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from laneway.cli import session
from laneway.cli.issuer import log_in as log_in_at_issuer
from laneway.cli.output import AsJson, done, exit_codes, show

PANEL = "Your account and lane"

_Url = Annotated[str, typer.Option(envvar="LANEWAY_URL", help="Address of the API.")]
_Username = Annotated[str, typer.Option(prompt=True, help="Name of the user.")]
_Password = Annotated[
    str,
    typer.Option(prompt=True, hide_input=True, envvar="LANEWAY_PASSWORD", help="Asked for when not given."),
]

_NewPassword = Annotated[
    str,
    typer.Option(prompt=True, hide_input=True, confirmation_prompt=True, help="Asked for when not given."),
]


@exit_codes
def register(
    username: _Username, password: _Password, url: _Url = session.DEFAULT_URL, as_json: AsJson = False
) -> None:
    """Register a user."""
    from laneway.client import Client  # noqa: PLC0415 - see the package's docstring

    with Client(url, retry_seconds=10) as client:
        client.register(username, password)
    done(f"registered {username}", as_json=as_json)


@exit_codes
def login(
    username: Annotated[str | None, typer.Option(help="Name of the user.")] = None,
    password: Annotated[
        str | None, typer.Option(envvar="LANEWAY_PASSWORD", help="Asked for when not given.")
    ] = None,
    key: Annotated[
        bool, typer.Option("--key", help="Ask for an API key, or read it from a pipe, instead of logging in.")
    ] = False,
    issuer: Annotated[
        bool, typer.Option("--issuer", help="Log in with a browser, at the OpenID Connect issuer of the API.")
    ] = False,
    url: _Url = session.DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Log in, and keep the token or API key in a profile (`LANEWAY_PROFILE` names another than `default`)."""
    from laneway.client import Client  # noqa: PLC0415 - see the package's docstring

    if issuer:
        with Client(url, retry_seconds=10) as client:
            token = log_in_at_issuer(client, url)
            username = client.account().username
    elif key:
        token = _asked_for("API key")
        with Client(url, token=token, retry_seconds=10) as client:
            username = client.account().username
    else:
        username = username or str(typer.prompt("Username"))
        password = password or _asked_for("Password")
        with Client(url, username=username, password=password, retry_seconds=10) as client:
            token = client.login()
    path = session.save(session.selected_profile(), session.Profile(url, username, token))
    done(f"logged in as {username} at {url}; profile {path}", as_json=as_json)


@exit_codes
def logout(as_json: AsJson = False) -> None:
    """Revoke the token and forget the profile. Without another open connection the user is disconnected now.

    An API key is forgotten and stays valid; `laneway keys revoke` revokes it.
    """
    with session.connect() as client:
        if client.account().scopes is None:
            client.logout()
    session.forget(session.selected_profile())
    done("logged out", as_json=as_json)


app = typer.Typer(help="Your account: show it, change its password, delete it.", no_args_is_help=True)


@app.command("show")
@exit_codes
def show_account(as_json: AsJson = False) -> None:
    """Show who you are, and what your API key may do."""
    with session.connect() as client:
        account = client.account()
    scopes = "" if account.scopes is None else f", by an API key for {', '.join(account.scopes)}"
    show(account, as_json=as_json, line=f"{account.username} ({account.role}){scopes}")


@app.command("password")
@exit_codes
def change_password(password: _Password, new_password: _NewPassword, as_json: AsJson = False) -> None:
    """Change your password. Your other log-ins end, API keys stay valid."""
    name = session.selected_profile()
    with session.connect() as client:
        username = client.account().username
        token = client.change_password(password, new_password)
    if profile := session.load(name):
        session.save(name, session.Profile(profile.url, username, token))
    done(f"changed the password of {username}", as_json=as_json)


@app.command("delete")
@exit_codes
def delete_account(
    password: _Password,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete your account, with its API keys, schedules, webhooks, waiting jobs and history. Nobody can register the name again."""
    with session.connect() as client:
        username = client.account().username
        if not yes:
            typer.confirm(f"Delete {username} for ever?", abort=True)
        client.delete_account(password)
    session.forget(session.selected_profile())
    done(f"deleted {username}", as_json=as_json)


@exit_codes
def queue(as_json: AsJson = False) -> None:
    """Show your lane: how many jobs wait and run, and whether it is paused."""
    with session.connect() as client:
        lane = client.queue()
    state = "paused" if lane.paused else "active"
    oldest = "" if lane.oldest_seconds is None else f", the oldest for {lane.oldest_seconds:.1f} s"
    line = f"{state}: {lane.queued} waiting, {lane.running} running in {lane.slots} slots{oldest}"
    line += f"; {lane.delayed} delayed" if lane.delayed else ""
    show(lane, as_json=as_json, line=line)


def _asked_for(what: str) -> str:
    """A secret from the terminal, where it is not shown, or from a pipe."""
    text = str(typer.prompt(what, hide_input=True)) if sys.stdin.isatty() else sys.stdin.readline()
    return text.strip("\r\n")


COMMANDS = (register, login, logout, queue)
