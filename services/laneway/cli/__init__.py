"""What a person types: the subcommands of `laneway` that speak to an API by HTTP.

`session` knows which API and which user (profiles, environment), `output` prints for people or as JSON lines and turns errors
into exit codes, `payloads` and `fields` read arguments, `issuer` logs in with a browser; `accounts`, `keys`, `types`, `jobs`, `operations`, `schedules`, `webhooks`, `observing`, `top` and `admin` are the subcommands. They
use nothing but `laneway.client`, imported when a subcommand runs, so that `laneway worker` does not pay for it. `project` needs no
API: it makes a project of handlers from the templates in `project_files`.
"""

from __future__ import annotations

import typer

from laneway.cli import (
    accounts,
    admin,
    jobs,
    keys,
    observing,
    operations,
    project,
    schedules,
    top,
    types,
    webhooks,
)

# An option that `enqueue` does not know is a field of the payload.
_SETTINGS = {jobs.enqueue: {"ignore_unknown_options": True}}


def add_commands(app: typer.Typer) -> None:
    """Add the subcommands to an app."""
    for module in (project, accounts, types, jobs, observing, top, admin):
        for command in module.COMMANDS:
            app.command(rich_help_panel=module.PANEL, context_settings=_SETTINGS.get(command))(command)
    app.add_typer(accounts.app, name="account", rich_help_panel=accounts.PANEL)
    app.add_typer(keys.app, name="keys", rich_help_panel=accounts.PANEL)
    app.add_typer(schedules.app, name="schedules", rich_help_panel=jobs.PANEL)
    app.add_typer(operations.app, name="operations", rich_help_panel=jobs.PANEL)
    app.add_typer(webhooks.app, name="webhooks", rich_help_panel=jobs.PANEL)
    app.add_typer(admin.dead, name="dead", rich_help_panel=admin.PANEL)
