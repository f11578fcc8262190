"""The program `laneway doctor`."""

from __future__ import annotations

import asyncio
import difflib
import os
from collections.abc import AsyncIterator, Iterator

import typer
from pydantic import ValidationError

from laneway import open_files
from laneway.cli.output import json_line
from laneway.doctor import findings
from laneway.doctor.findings import Line
from laneway.oidc.provider import Client
from laneway.settings import PREFIX, Settings, problems, variable

WRONG, WRONG_SETTING = 1, 2
"""Exit codes."""
_ALIKE = 0.9
"""How much the name of a variable resembles a setting that it is a misspelling of, as difflib measures it."""


def main(*, as_json: bool) -> int:
    """Print the findings as they come. Return the exit code: 0, WRONG or WRONG_SETTING."""
    code = 0
    try:
        settings = Settings()
    except ValidationError as error:
        for text in problems(error):
            _print(Line("settings", "wrong", text.partition(":")[0], text), as_json=as_json)
        return WRONG_SETTING
    if problem := open_files.raise_limit(settings.worker_processes):
        _print(Line("settings", "wrong", "open_files", problem), as_json=as_json)
        return WRONG_SETTING
    for line in (*_settings(settings), *findings.handlers(settings), *_webhooks(settings)):
        _print(line, as_json=as_json)
        code = WRONG_SETTING if line.status == "wrong" else code
    return max(code, asyncio.run(_servers(settings, as_json=as_json)))


async def _servers(settings: Settings, *, as_json: bool) -> int:
    code = 0
    looks: tuple[AsyncIterator[Line], ...] = (
        findings.redis(settings.redis_url, settings.key_prefix),
        findings.mongo(
            settings.mongo_url,
            settings.mongo_database,
            has_webhooks_key=settings.webhooks_secret is not None,
        ),
        findings.issuer(
            Client(
                settings.oidc_issuer,
                settings.oidc_client_id,
                settings.oidc_client_secret,
                settings.oidc_scopes,
            )
        ),
    )
    for look in looks:
        async for line in look:
            _print(line, as_json=as_json)
            code = WRONG if line.status == "wrong" else code
    return code


def _webhooks(settings: Settings) -> Iterator[Line]:
    jwt_secret = settings.jwt_secret.get_secret_value() if settings.jwt_secret else None
    return findings.webhooks(settings.webhooks_secret, jwt_secret, settings.webhook_networks)


def _settings(settings: Settings) -> Iterator[Line]:
    yield Line(
        "settings", "ok", "read", f"{len(settings.model_fields_set)} set, all others have their defaults"
    )
    known = [variable(field) for field in Settings.model_fields]
    for name in sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known):
        for meant in difflib.get_close_matches(name, known, n=1, cutoff=_ALIKE):
            yield Line(
                "settings", "wrong", name, f"{name} is no setting and has no effect: did you mean {meant}?"
            )
    if settings.jwt_secret is None:
        name = variable("jwt_secret")
        text = f"{name} is not set: the API does not start without it, worker and operator do"
        yield Line("settings", "note", name, text)


def _print(line: Line, *, as_json: bool) -> None:
    typer.echo(json_line(line._asdict()) if as_json else f"{line.status:5}  {line.area:8}  {line.text}")
