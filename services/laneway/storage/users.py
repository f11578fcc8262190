"""The users, who may log in, and their roles.

A username is one name in any case and Unicode form: it is stored in lower case. A log-in with an unknown name takes as long
as one with a wrong password, so that neither answer nor time reveals which names exist.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from laneway.storage import passwords
from laneway.storage.mongo import Document, now, primary, reported_as
from laneway.storage.passwords import Passwords, UnacceptablePassword

USERNAME = re.compile(r"[a-z0-9][a-z0-9._-]{2,63}")
"""No slash (it separates user and job in the history), no blanks, no control characters, nothing outside ASCII."""
_NO_QUEUE = nullcontext()


Place = AbstractAsyncContextManager[None]
"""What is held while a password is hashed or checked: the caller's way to queue for it."""


class UsersUnavailable(Exception):
    """MongoDB is away or answers too late. Raised from pymongo's error."""


class CannotRegister(Exception):
    """The text says why and may be shown to the user. `field` is `username` or `password`."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


class UsernameTaken(CannotRegister):
    """The name belongs to another user."""


class LastAdministrator(Exception):
    """The role cannot be taken away: nobody would be left to give it back."""


class WrongCredentials(Exception):
    """The user does not exist, or the password is wrong; the caller must not learn which."""


class Role(StrEnum):
    """What a user may do. An `admin` may inspect and change everybody's lanes."""

    USER = "user"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class User:
    """A user without the password."""

    name: str
    role: Role
    created_at: datetime | None
    last_login_at: datetime | None = None
    issuer: str | None = None
    """The OpenID Connect issuer that logs the user in. Such a user has no password."""


class Users:
    """The collection `users`, whose `_id` is the name.

    Nobody can register one of the names in `reserved`, or one that begins with `reserved_prefix`: those are for the users of an
    issuer (`laneway.storage.issuer_users`).
    """

    def __init__(
        self,
        database: AsyncDatabase[Document],
        passwords: Passwords,
        *,
        reserved: Collection[str] = (),
        reserved_prefix: str = "",
    ) -> None:
        self._users = primary(database, "users")
        self._reserved_prefix = reserved_prefix
        self._passwords, self._reserved = passwords, frozenset(map(canonical, reserved))

    async def register(
        self, name: str, password: str, role: Role = Role.USER, *, place: Place = _NO_QUEUE
    ) -> User:
        """Add a user; an administrator may have a reserved name. `place` is held while the password is hashed.

        Raises CannotRegister, TooManyPasswords, UsersUnavailable.
        """
        name = canonical(name)
        _check_username(name)
        if self._is_reserved(name) and role is not Role.ADMIN:
            raise CannotRegister("username", "the username is reserved; choose another")
        try:
            passwords.check_form(password, name)
            if await self.find(name):
                raise UsernameTaken("username", "the username is taken")
            async with place:
                hashed = await self._passwords.hash(password, name)
        except UnacceptablePassword as error:
            raise CannotRegister("password", str(error)) from None
        document = {"_id": name, "password": hashed, "role": role.value, "created_at": now()}
        async with reported_as(UsersUnavailable):
            try:
                await self._users.insert_one(document)
            except DuplicateKeyError:
                raise UsernameTaken("username", "the username is taken") from None
        return user_of(document)

    def _is_reserved(self, name: str) -> bool:
        prefix = self._reserved_prefix
        return name in self._reserved or (prefix != "" and name.startswith(prefix))

    async def log_in(self, name: str, password: str, *, place: Place = _NO_QUEUE) -> User:
        """Return the user with this password. `place` is held while the password is checked.

        Raises WrongCredentials, TooManyPasswords, UsersUnavailable.
        """
        name = canonical(name)
        async with reported_as(UsersUnavailable):
            found = await self._users.find_one(_living(name)) if USERNAME.fullmatch(name) else None
        if len(passwords.normalize(password)) not in passwords.LENGTHS:  # no user has it
            password, found = "", None
        async with place:
            right, fresh = await self._passwords.verify(password, found.get("password") if found else None)
        if not found or not right:
            raise WrongCredentials("wrong username or password")
        changes = {"last_login_at": now()} | ({"password": fresh} if fresh else {})
        unchanged = {"_id": name, "password": found["password"]}
        async with reported_as(UsersUnavailable):
            await self._users.update_one(unchanged, {"$set": changes})
        return user_of(found | changes)

    async def change_password(
        self, name: str, password: str, new_password: str, *, place: Place = _NO_QUEUE
    ) -> User:
        """Replace a user's password. `place` is held while passwords are checked and hashed.

        Raises WrongCredentials, UnacceptablePassword, TooManyPasswords, UsersUnavailable.
        """
        name = canonical(name)
        passwords.check_form(new_password, name)
        async with place:
            user = await self.log_in(name, password)
            hashed = await self._passwords.hash(new_password, name)
        async with reported_as(UsersUnavailable):
            await self._users.update_one(_living(name), {"$set": {"password": hashed}})
        return user

    async def delete(self, name: str) -> None:
        """Delete a user. The name stays taken, so that nobody inherits what is kept under it.

        Raises LastAdministrator, UsersUnavailable.
        """
        await self.set_role(name, Role.USER)
        async with reported_as(UsersUnavailable):
            await self._users.replace_one(_living(name), {"deleted_at": now()})

    async def find(self, name: str) -> User | None:
        """Return the user of this name. Raises UsersUnavailable."""
        async with reported_as(UsersUnavailable):
            found = await self._users.find_one(_living(name), {"password": 0})
        return user_of(found) if found else None

    async def page(self, after: str, limit: int, *, prefix: str = "", role: Role | None = None) -> list[User]:
        """Return users in the order of their names, from the first behind `after`. Raises UsersUnavailable.

        `prefix`: only names that begin with it, as `canonical` writes them.
        """
        names = {"$gt": after, "$gte": prefix, "$lt": prefix + "~"}  # no name has a tilde
        query = {"_id": names, "deleted_at": None} | ({"role": role.value} if role else {})
        async with reported_as(UsersUnavailable):
            cursor = self._users.find(query, {"password": 0}).sort("_id", 1).limit(limit)
            return [user_of(found) async for found in cursor]

    async def set_role(self, name: str, role: Role) -> bool:
        """Change a user's role and return whether the user exists. Raises LastAdministrator, UsersUnavailable."""
        if role is not Role.ADMIN:
            await self.check_demotion(name)
        found = await self._set_role(name, role)
        try:
            if role is not Role.ADMIN and found is Role.ADMIN:
                await self.check_demotion(name, demoted=True)
        except LastAdministrator:  # another one was demoted at the same time
            await self._set_role(name, Role.ADMIN)
            raise
        return found is not None

    async def check_demotion(self, name: str, *, demoted: bool = False) -> None:
        """Raises LastAdministrator if nobody else is an administrator, and UsersUnavailable.

        `demoted`: the user has lost the role already. Otherwise one who is no administrator may lose it freely.
        """
        async with reported_as(UsersUnavailable):
            others = await self._users.find_one({"role": Role.ADMIN.value, "_id": {"$ne": canonical(name)}})
        if others is None:
            user = None if demoted else await self.find(name)
            if demoted or (user is not None and user.role is Role.ADMIN):
                raise LastAdministrator(
                    "the last administrator cannot lose the role; give it to another user first"
                )

    async def _set_role(self, name: str, role: Role) -> Role | None:
        """Return the role before, None if there is no such user."""
        async with reported_as(UsersUnavailable):
            before = await self._users.find_one_and_update(_living(name), {"$set": {"role": role.value}})
        return user_of(before).role if before else None


def _living(name: str) -> Document:
    """The query for a user who has not been deleted."""
    return {"_id": canonical(name), "deleted_at": None}


def canonical(name: str) -> str:
    """Return the form of a username that all its spellings share: Unicode NFKC, without case."""
    return unicodedata.normalize("NFKC", name).casefold()


def _check_username(name: str) -> None:
    if not USERNAME.fullmatch(name):
        raise CannotRegister(
            "username",
            "a username has 3 to 64 ASCII letters, digits, dots, underscores or hyphens and begins with a letter or a digit",
        )


def user_of(document: Mapping[str, Any]) -> User:
    """Return a user as the collection has it."""
    return User(
        document["_id"],
        Role(document.get("role", "user")),
        document.get("created_at"),
        document.get("last_login_at"),
        document.get("issuer"),
    )
