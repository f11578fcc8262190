"""Subcommands about the caller's API keys."""

from __future__ import annotations

from typing import Annotated

import typer

from laneway.cli import session
from laneway.cli.output import AsJson, age, done, exit_codes, show, table
from laneway.scopes import Scope

DAY_SECONDS = 86_400
app = typer.Typer(help="API keys: what programs use instead of your password.", no_args_is_help=True)
_User = Annotated[str | None, typer.Option(help="For administrators: the keys of this user.")]


@app.command("list")
@exit_codes
def list_keys(user: _User = None, as_json: AsJson = False) -> None:
    """List your keys, oldest first. Their secrets cannot be read again."""
    with session.connect() as client:
        rows = (
            (
                key,
                (
                    key.key_id,
                    key.name,
                    " ".join(key.scopes),
                    f"{key.expires_at:%Y-%m-%d}" if key.expires_at else "never",
                    age(key.last_used_at) or "never",
                ),
            )
            for key in (client.admin.api_keys(user) if user else client.api_keys())
        )
        table(("ID", "NAME", "SCOPES", "EXPIRES", "LAST USED"), rows, as_json=as_json)


@app.command("create")
@exit_codes
def create(
    name: Annotated[str, typer.Argument(help="Which program will have it.", metavar="NAME")],
    scope: Annotated[list[Scope], typer.Option(help="What it may do; repeat it for several.")] = [  # noqa: B006 - typer's way
        Scope.ENQUEUE,
        Scope.READ,
    ],
    days: Annotated[int, typer.Option(min=0, max=3650, help="Days until it expires; 0 for never.")] = 90,
    as_json: AsJson = False,
) -> None:
    """Make a key, and print its secret, which cannot be read again."""
    with session.connect() as client:
        key = client.create_api_key(name, scopes=scope, expires_in_seconds=days * DAY_SECONDS or None)
    show(key, as_json=as_json, line=key.key)


@app.command("revoke")
@exit_codes
def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id.", metavar="KEY_ID")],
    user: _User = None,
    as_json: AsJson = False,
) -> None:
    """Refuse a key from now on."""
    with session.connect() as client:
        if user:
            client.admin.revoke_api_key(user, key_id)
        else:
            client.revoke_api_key(key_id)
    done(f"revoked {key_id}", as_json=as_json)
