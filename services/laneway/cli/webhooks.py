"""Subcommands about the caller's webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from laneway.choices import EndState
from laneway.cli import session
from laneway.cli.output import AsJson, done, exit_codes, show, table

if TYPE_CHECKING:
    from laneway.client import WebhookView

app = typer.Typer(help="Webhooks: URLs to which the ends of your jobs are delivered.", no_args_is_help=True)
_User = Annotated[str | None, typer.Option(help="For administrators: the webhooks of this user.")]
_Id = Annotated[str, typer.Argument(help="The webhook's id.", metavar="WEBHOOK_ID")]


@app.command("list")
@exit_codes
def list_webhooks(user: _User = None, as_json: AsJson = False) -> None:
    """List your webhooks, oldest first."""
    with session.connect() as client:
        rows = (
            (
                webhook,
                (webhook.webhook_id, webhook.url, _for(webhook), str(webhook.waiting), _status(webhook)),
            )
            for webhook in (client.admin.webhooks(user) if user else client.webhooks())
        )
        table(("ID", "URL", "FOR", "WAITING", "LAST"), rows, as_json=as_json)


@app.command("create")
@exit_codes
def create(
    url: Annotated[str, typer.Argument(help="Where to deliver.", metavar="URL")],
    state: Annotated[
        list[EndState] | None, typer.Option(help="How the jobs end; repeat it for several. By default all.")
    ] = None,
    type_: Annotated[
        list[str] | None,
        typer.Option("--type", help="The jobs' type; repeat it for several. By default all."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add a webhook, and print its id and its secret, which cannot be read again."""
    with session.connect() as client:
        states = [state.value for state in state] if state else None
        webhook = client.create_webhook(url, states=states, types=type_ or None)
    show(webhook, as_json=as_json, line=f"{webhook.webhook_id} {webhook.secret}")


@app.command("test")
@exit_codes
def try_out(webhook_id: _Id, as_json: AsJson = False) -> None:
    """Deliver a test event, once and soon. `list` shows the result."""
    with session.connect() as client:
        message_id = client.test_webhook(webhook_id)
    show({"message_id": message_id}, as_json=as_json, line=message_id)


@app.command("rotate")
@exit_codes
def rotate(webhook_id: _Id, as_json: AsJson = False) -> None:
    """Replace a webhook's secret, and print the new one. The old one signs beside it for a day."""
    with session.connect() as client:
        webhook = client.rotate_webhook(webhook_id)
    show(webhook, as_json=as_json, line=webhook.secret)


@app.command("enable")
@exit_codes
def enable(webhook_id: _Id, user: _User = None, as_json: AsJson = False) -> None:
    """Let a webhook that was disabled get deliveries again. What an administrator has disabled needs `--user` and an administrator."""
    with session.connect() as client:
        if user:
            client.admin.enable_webhook(user, webhook_id)
        else:
            client.enable_webhook(webhook_id)
    done(f"enabled {webhook_id}", as_json=as_json)


@app.command("disable")
@exit_codes
def disable(webhook_id: _Id, user: _User = None, as_json: AsJson = False) -> None:
    """Let a webhook get no more deliveries, and cancel those that wait."""
    with session.connect() as client:
        if user:
            client.admin.disable_webhook(user, webhook_id)
        else:
            client.disable_webhook(webhook_id)
    done(f"disabled {webhook_id}", as_json=as_json)


@app.command("delete")
@exit_codes
def delete(webhook_id: _Id, as_json: AsJson = False) -> None:
    """Delete a webhook with the deliveries that wait."""
    with session.connect() as client:
        client.delete_webhook(webhook_id)
    done(f"deleted {webhook_id}", as_json=as_json)


def _for(webhook: WebhookView) -> str:
    states = "all" if len(webhook.states) == len(EndState) else " ".join(webhook.states)
    return f"{states} of {' '.join(webhook.types)}" if webhook.types else states


def _status(webhook: WebhookView) -> str:
    if webhook.disabled_reason:
        return f"disabled: {webhook.disabled_reason}"
    if webhook.last_error:
        return f"retrying: {webhook.last_error}"
    return webhook.last.detail if webhook.last else "none yet"
