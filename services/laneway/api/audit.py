"""Records what administrators do, in the log and in MongoDB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import structlog
from fastapi import Depends

from laneway.api.callers import key_id_of
from laneway.api.deps import Address, Admin, Sys
from laneway.api.tokens import Token
from laneway.storage.audit import Audit
from laneway.storage.users import UsersUnavailable

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Recorder:
    """Records the actions of the administrator who sends this request."""

    token: Token
    address: str
    audit: Audit

    async def record(self, action: str, user: str = "", **details: Any) -> None:
        """Record an action that has been done, `noun_verb` as in the log, to `user`.

        While MongoDB is away only the log has it: an administrator must be able to pause a lane in an outage.
        """
        log.info(action, user=user, by=self.token.user, address=self.address, **details)
        try:
            await self.audit.add(
                action,
                by=self.token.user,
                key_id=key_id_of(self.token.token_id),
                address=self.address,
                user=user,
                details=details,
            )
        except UsersUnavailable as error:
            log.error("audit_unrecorded", action=action, error=str(error))  # noqa: TRY400 - MongoDB is away, not a bug


async def _recorder(admin: Admin, address: Address, system: Sys) -> Recorder:
    return Recorder(admin, address, system.audit)


Auditor = Annotated[Recorder, Depends(_recorder)]
"""As `Admin`, for endpoints that change something."""
