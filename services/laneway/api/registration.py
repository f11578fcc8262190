"""Who may register: everybody, nobody, or whoever an administrator has invited. And how often from one address."""

from __future__ import annotations

import time
from typing import Literal

from laneway.api.problem import Problem
from laneway.api.revocations import Revocations
from laneway.api.tokens import InvalidToken, Tokens
from laneway.storage.users import Place as PasswordPlace
from laneway.storage.users import User, Users

Policy = Literal["open", "closed", "invitation"]
BURST_MINUTES = 1.0
"""Registrations of this time may come at once."""
MAX_ADDRESSES = 10_000
"""Addresses that are remembered."""


class AddressLimit:
    """At most `per_minute` registrations from one address, in this process; 0 for no limit."""

    def __init__(self, per_minute: float) -> None:
        self._interval = 60 / per_minute if per_minute else 0.0
        self._burst = BURST_MINUTES * 60
        self._spent_until: dict[str, float] = {}

    def spend(self, address: str) -> None:
        """Count one registration. Raises Problem if the address has used up its share."""
        now = time.monotonic()
        spent_until = max(now, self._spent_until.get(address, 0.0)) + self._interval
        if spent_until > now + self._burst:
            wait = spent_until - now - self._burst
            detail = "too many registrations from this address; try again later"
            raise Problem(429, "too-many-registrations", detail, retry_after_seconds=wait)
        if len(self._spent_until) >= MAX_ADDRESSES:
            self._spent_until = {a: until for a, until in self._spent_until.items() if until > now}
        self._spent_until[address] = spent_until


class Registration:
    """Registers users by the policy."""

    def __init__(
        self,
        policy: Policy,
        users: Users,
        tokens: Tokens,
        revocations: Revocations,
        *,
        per_minute: float,
    ) -> None:
        self.policy = policy
        self._users, self._tokens, self._revocations = users, tokens, revocations
        self._limit = AddressLimit(per_minute)

    async def register(
        self, name: str, password: str, invitation: str | None, *, address: str, place: PasswordPlace
    ) -> User:
        """Register a user; an invitation is used up by it. Raises Problem, and what `Users.register` raises."""
        if self.policy == "closed":
            raise Problem(403, "registration-closed", "registration is closed; ask an administrator")
        self._limit.spend(address)
        if self.policy == "open":
            return await self._users.register(name, password, place=place)
        invitation_id, seconds = self._invited(invitation)
        if not await self._revocations.use_once(invitation_id, seconds):
            raise _not_invited("the invitation has been used")
        try:
            return await self._users.register(name, password, place=place)
        except BaseException:
            await self._revocations.give_back(invitation_id)
            raise

    def _invited(self, invitation: str | None) -> tuple[str, float]:
        if not invitation:
            raise _not_invited("registration needs an invitation; ask an administrator")
        try:
            return self._tokens.verify_invitation(invitation)
        except InvalidToken as error:
            raise _not_invited(str(error)) from None


def _not_invited(detail: str) -> Problem:
    return Problem(403, "not-invited", detail)
