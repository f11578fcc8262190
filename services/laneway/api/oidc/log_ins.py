"""Turns a token or a code of the issuer into a user of ours."""

from __future__ import annotations

import time

import structlog

from laneway.api.fair_queue import FairQueue
from laneway.api.oidc.claims import Meaning, not_a_user
from laneway.api.oidc.verifier import Verified, Verifier
from laneway.api.problem import Problem
from laneway.api.revocations import Revocations
from laneway.api.tokens import InvalidToken, Token
from laneway.oidc.fetched import IssuerUnavailable
from laneway.oidc.provider import Client, CodeRefused, Endpoints, Provider
from laneway.storage.issuer_users import AccountDeleted, IssuerUsers, NameBelongsToAnother
from laneway.storage.users import Role, User

PARALLEL, WAITING = 8, 64
"""Exchanges of codes at once, and how many more may wait: each holds a connection to the issuer."""
log = structlog.get_logger()


class IssuerLogIns:
    """Log-ins by one issuer. `audience` is what tokens of programs must be for.

    Methods raise IssuerUnavailable, UsersUnavailable, InvalidToken, and Problem for somebody who is no user here.
    """

    def __init__(
        self,
        provider: Provider,
        users: IssuerUsers,
        meaning: Meaning,
        revocations: Revocations,
        *,
        audience: str,
        revoked_seconds: int,
    ) -> None:
        self._provider, self._users, self._meaning, self._revocations = provider, users, meaning, revocations
        self._revoked_seconds = revoked_seconds
        client = provider.client
        self._for_programs = Verifier(provider, audience or client.client_id)
        self._for_log_in = Verifier(provider, client.client_id)
        self._exchanges = FairQueue(PARALLEL, WAITING, _too_many)

    @property
    def client(self) -> Client:
        """Laneway as a client of the issuer."""
        return self._provider.client

    async def endpoints(self) -> Endpoints | None:
        """Return where the issuer's endpoints are; None while it is away."""
        try:
            return await self._provider.endpoints()
        except IssuerUnavailable as error:
            log.warning("issuer_unavailable", error=str(error))
            return None

    async def token(self, text: str) -> Token:
        """Return what stands for a token of the issuer, with the user's role of now."""
        verified = await self._for_programs.verify(text)
        role = self._meaning.role(verified.claims)
        user = await self._user(verified, role)
        return Token(user.name, role or user.role, verified.token_id, verified.issued_at, verified.expires_at)

    async def log_in(
        self, code: str, verifier: str, nonce: str, redirect_uri: str, *, address: str
    ) -> tuple[User, float]:
        """Return the user who has logged in at the issuer, and the Unix time before which the role was looked up."""
        async with self._exchanges.place(address):
            try:
                text = await self._provider.exchange(code, verifier, redirect_uri)
            except CodeRefused:
                detail = "the issuer refuses the code: it is used or too old; log in again"
                raise Problem(400, "invalid-code", detail) from None
        asked_at = time.time()
        try:
            verified = await self._for_log_in.verify(text, nonce=nonce)
        except InvalidToken as error:
            log.warning("id_token_refused", error=str(error))
            raise Problem(400, "invalid-code", f"the issuer's answer is refused: {error}") from error
        role = self._meaning.role(verified.claims)
        user = await self._user(verified, role)
        demoted = user.role is Role.ADMIN and role is Role.USER
        if demoted:
            await self._revocations.revoke_role(user.name, self._revoked_seconds)
        user = await self._users.log_in(user, role)
        if demoted:  # a log-in under way may have read the old role
            await self._revocations.revoke_role(user.name, self._revoked_seconds)
        return user, asked_at

    async def _user(self, verified: Verified, role: Role | None) -> User:
        """Return the user of a token's subject, who is made if it is the first."""
        try:
            user = await self._users.find(verified.issuer, verified.subject)
            if user is None:
                name = self._meaning.username(verified.claims)
                user = await self._users.add(verified.issuer, verified.subject, name, role)
                log.info("user_registered", user=user.name, issuer=verified.issuer)
        except (AccountDeleted, NameBelongsToAnother) as error:
            raise not_a_user(str(error)) from error
        return user


def _too_many() -> Problem:
    return Problem(503, "too-many-log-ins", "too many log-ins wait for the issuer", retry_after_seconds=2)
