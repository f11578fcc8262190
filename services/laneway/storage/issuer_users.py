"""The users that an OpenID Connect issuer logs in.

Such a user is known by issuer and subject, which never change. The name is the one that the issuer gave at the first log-in, and
stays when the issuer gives another one later: the lane, the history and the keys belong to it. Nobody else gets it: neither a
local user, nor another subject to whom the issuer gives the same name.
"""

from __future__ import annotations

from dataclasses import replace

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from laneway.storage.mongo import Document, now, primary, reported_as
from laneway.storage.users import Role, User, UsersUnavailable, user_of


class NameBelongsToAnother(Exception):
    """Somebody else has the name: a local user, another subject, or a user who was deleted."""


class AccountDeleted(Exception):
    """The user has deleted the account, and no other is made for the same subject."""


class IssuerUsers:
    """The collection `identities`: who at which issuer is which user. Every method raises UsersUnavailable."""

    def __init__(self, database: AsyncDatabase[Document]) -> None:
        self._identities = primary(database, "identities")
        self._users = primary(database, "users")

    async def find(self, issuer: str, subject: str) -> User | None:
        """Return the user of a subject. Raises AccountDeleted."""
        identity = _identity(issuer, subject)
        async with reported_as(UsersUnavailable):
            known = await self._identities.find_one({"_id": identity})
            found = await self._users.find_one({"_id": known["user"]}) if known else None
        if found is None:
            return None
        if found.get("identity") != identity:
            raise AccountDeleted(f"the account {found['_id']} was deleted")
        return user_of(found)

    async def add(self, issuer: str, subject: str, name: str, role: Role | None) -> User:
        """Make the user of a subject, or return the one that another process has just made.

        Raises NameBelongsToAnother.
        """
        identity = _identity(issuer, subject)
        document = {
            "_id": name,
            "identity": identity,
            "issuer": issuer,
            "role": (role or Role.USER).value,
            "created_at": now(),
        }
        async with reported_as(UsersUnavailable):
            try:
                await self._users.insert_one(document)
            except DuplicateKeyError:
                found = await self._users.find_one({"_id": name})
                if found is None or found.get("identity") != identity:
                    raise NameBelongsToAnother(f"the name {name} belongs to another user") from None
            try:
                await self._identities.insert_one({"_id": identity, "user": name})
            except DuplicateKeyError:  # by another process: its name counts
                return await self.find(issuer, subject) or user_of(document)
        return user_of(document)

    async def log_in(self, user: User, role: Role | None) -> User:
        """Record a log-in, with the role that the issuer gives. None leaves the role as it is."""
        changes: Document = {"last_login_at": now()} | ({"role": role.value} if role else {})
        async with reported_as(UsersUnavailable):
            await self._users.update_one({"_id": user.name, "deleted_at": None}, {"$set": changes})
        return replace(user, role=role or user.role, last_login_at=changes["last_login_at"])


def _identity(issuer: str, subject: str) -> str:
    return f"{issuer} {subject}"  # an address has no blanks
