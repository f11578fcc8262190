"""Registers the administrator that the settings name."""

from __future__ import annotations

import asyncio

import structlog

from laneway.storage.passwords import TooManyPasswords
from laneway.storage.users import CannotRegister, Role, UsernameTaken, Users, UsersUnavailable

RETRY_SECONDS = 2.0
log = structlog.get_logger()


async def register_first_admin(users: Users, name: str, password: str) -> None:
    """Register the administrator as soon as MongoDB answers. A user who exists is left unchanged."""
    while True:
        try:
            await _register(users, name, password)
            return
        except UsernameTaken:  # by another process, in this moment; or it was deleted
            if await users.find(name):
                continue
            log.error("admin_refused", user=name, error="the account was deleted")  # noqa: TRY400 - a wrong setting, not a bug
            return
        except CannotRegister as error:
            log.error("admin_refused", user=name, error=str(error))  # noqa: TRY400 - a wrong setting, not a bug
            return
        except (UsersUnavailable, TooManyPasswords):
            await asyncio.sleep(RETRY_SECONDS)


async def _register(users: Users, name: str, password: str) -> None:
    found = await users.find(name)
    if found is None:
        await users.register(name, password, Role.ADMIN)
        log.info("admin_registered", user=name)
    elif found.role is not Role.ADMIN:
        log.warning("admin_role_missing", user=name)
