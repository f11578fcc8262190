"""Who may use the system: users and their passwords, kept in MongoDB.

Passwords are argon2id hashes. Hashing takes tens of milliseconds and megabytes, so it runs in threads, few at once, behind a
line of limited length: a flood of log-ins slows log-ins and nothing else. A log-in with an unknown name costs the same hash as
one with a wrong password, so that the time of the answer does not tell which names exist.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from threading import BoundedSemaphore
from typing import Any, TypeVar, cast

from passlib.hash import argon2
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError, PyMongoError

T = TypeVar("T")
Document = dict[str, Any]

USERNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,63}")
"""No slash (it divides user and job in the history), no blanks, no control characters, nothing outside ASCII."""
PASSWORD_LENGTHS = range(8, 1025)
LOG_INS_PER_NAME = 4
"""At once, in one process."""
ARGON2_ROUNDS, ARGON2_MEMORY_KIB = 2, 65_536
"""Above what OWASP asks for (2 rounds, 19 MiB), and one lane, since logins run side by side already."""
WAITING_PER_THREAD = 16
"""How many hashes may wait for each one that runs: about a second."""

_COMMON = frozenset(
    """00000000 11111111 12341234 12345678 123456789 1234567890 1q2w3e4r 1qaz2wsx 1qazxsw2 87654321 987654321 a1b2c3d4 aa123456
    abc12345 abcd1234 admin123 administrator asdfasdf asdfghjkl baseball changeme chocolate computer corvette dragon123 football
    iloveyou internet jennifer letmein1 liverpool master123 michelle monkey123 p@ssw0rd p@ssword passw0rd password password1
    password12 password123 pokemon1 princess q1w2e3r4 qazwsxedc qwer1234 qwerty12 qwerty123 qwertyui qwertyuiop secret123
    starwars sunshine superman test1234 trustno1 welcome1 welcome123 whatever zaq12wsx zxcvbnm1""".split()  # noqa: SIM905 - sixty lines of quotes otherwise
)


class UserError(Exception):
    """Base of what can go wrong with users."""


class UsersUnavailable(UserError):
    """MongoDB is away or answers too late; raised from pymongo's error."""


class CannotRegister(UserError):
    """The text says why, and may be shown. `field`: `username` or `password`."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


class UsernameTaken(CannotRegister):
    """There is such a user already."""


class WrongCredentials(UserError):
    """No such user, or not this password: it is not said which."""


class TooManyPasswords(UserError):
    """Too many passwords wait to be hashed."""

    retry_after_seconds = 1.0


class Role(StrEnum):
    """What a user may do: `admin` may look at and change the lanes of all."""

    USER = "user"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class User:
    name: str
    role: Role
    created_at: datetime | None


class Passwords:
    """Hashes and verifies in `parallel` threads."""

    def __init__(
        self, parallel: int, *, rounds: int = ARGON2_ROUNDS, memory_kib: int = ARGON2_MEMORY_KIB
    ) -> None:
        self._scheme = argon2.using(type="ID", rounds=rounds, memory_cost=memory_kib, parallelism=1)
        self._threads = ThreadPoolExecutor(parallel, thread_name_prefix="argon2")
        self._places = BoundedSemaphore(parallel * (1 + WAITING_PER_THREAD))
        self._dummy = self._scheme.hash("nobody has this password")

    async def hash(self, password: str) -> str:
        """Raises TooManyPasswords."""
        return await self._run(lambda: cast("str", self._scheme.hash(password)))

    async def verify(self, password: str, stored: str | None) -> tuple[bool, str | None]:
        """Whether it is right, and a new hash if the stored one is of lesser strength. None verifies against a dummy.

        Raises TooManyPasswords.
        """
        right, fresh = await self._run(lambda: self._scheme_verify(password, stored or self._dummy))
        return (right, fresh) if stored else (False, None)

    def _scheme_verify(self, password: str, stored: str) -> tuple[bool, str | None]:
        right = bool(self._scheme.verify(password, stored))
        return right, self._scheme.hash(password) if right and self._scheme.needs_update(stored) else None

    async def _run(self, work: Callable[[], T]) -> T:
        if not self._places.acquire(blocking=False):
            raise TooManyPasswords("too many passwords wait to be checked")
        future = self._threads.submit(work)
        future.add_done_callback(
            lambda _: self._places.release()
        )  # cancelled ones too; never when merely given up on
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class Users:
    """The collection `users`: `_id` is the name."""

    def __init__(self, database: AsyncDatabase[Document], passwords: Passwords) -> None:
        self._users = database["users"]
        self._passwords = passwords
        self._guessing: Counter[str] = Counter()
        """Log-ins under way, by name: who guesses one user's password does not take all the places."""

    async def register(self, name: str, password: str, role: Role = Role.USER) -> User:
        """Raises CannotRegister, TooManyPasswords, UsersUnavailable."""
        check_username(name)
        check_password(password, name)
        if await self.find(name):
            raise UsernameTaken("username", "the username is taken")
        document = {
            "_id": name,
            "password": await self._passwords.hash(password),
            "role": role.value,
            "created_at": datetime.now(UTC),
        }
        async with _available():
            try:
                await self._users.insert_one(document)
            except DuplicateKeyError:
                raise UsernameTaken("username", "the username is taken") from None
        return _user(document)

    async def log_in(self, name: str, password: str) -> User:
        """Raises WrongCredentials, TooManyPasswords, UsersUnavailable."""
        if self._guessing[name] >= LOG_INS_PER_NAME:
            raise TooManyPasswords("too many log-ins of this user wait for their passwords to be checked")
        self._guessing[name] += 1
        try:
            return await self._log_in(name, password)
        finally:
            self._guessing[name] -= 1
            if not self._guessing[name]:
                del self._guessing[name]

    async def _log_in(self, name: str, password: str) -> User:
        async with _available():
            found = await self._users.find_one({"_id": name}) if USERNAME.fullmatch(name) else None
        if len(password) not in PASSWORD_LENGTHS:  # nobody's
            password, found = "", None
        right, fresh = await self._passwords.verify(password, found["password"] if found else None)
        if not found or not right:
            raise WrongCredentials("wrong username or password")
        if fresh:
            async with _available():
                await self._users.update_one(
                    {"_id": name, "password": found["password"]}, {"$set": {"password": fresh}}
                )
        return _user(found)

    async def find(self, name: str) -> User | None:
        """Raises UsersUnavailable."""
        async with _available():
            found = await self._users.find_one({"_id": name}, {"password": 0})
        return _user(found) if found else None

    async def page(self, after: str, limit: int) -> list[User]:
        """Users in order of their names. Raises UsersUnavailable."""
        async with _available():
            cursor = self._users.find({"_id": {"$gt": after}}, {"password": 0}).sort("_id", 1).limit(limit)
            return [_user(found) async for found in cursor]

    async def set_role(self, name: str, role: Role) -> bool:
        """False if there is no such user. Raises UsersUnavailable."""
        async with _available():
            return (
                await self._users.update_one({"_id": name}, {"$set": {"role": role.value}})
            ).matched_count == 1


def check_username(name: str) -> None:
    """Raises CannotRegister."""
    if not USERNAME.fullmatch(name):
        raise CannotRegister(
            "username",
            "a username has 3 to 64 letters, digits, dots, underscores or hyphens of ASCII and begins with a letter or a digit",
        )


def check_password(password: str, name: str) -> None:
    """Raises CannotRegister."""
    if len(password) not in PASSWORD_LENGTHS:
        raise CannotRegister(
            "password", f"a password has {PASSWORD_LENGTHS[0]} to {PASSWORD_LENGTHS[-1]} characters"
        )
    if "\0" in password:
        raise CannotRegister("password", "a password has no NUL character")
    if password.lower() == name.lower():
        raise CannotRegister("password", "the password must not be the username")
    if password.lower() in _COMMON or len(set(password)) == 1:
        raise CannotRegister("password", "the password is one of the most common ones")


def connect(url: str, *, timeout_seconds: float) -> AsyncMongoClient[Document]:
    """A client for an event loop, whose every operation ends within `timeout_seconds`, with an error if need be."""
    most_ms = int(timeout_seconds * 1000)
    return AsyncMongoClient(
        url,
        timeoutMS=most_ms,
        serverSelectionTimeoutMS=most_ms,
        connectTimeoutMS=most_ms,
        tz_aware=True,
        appname="laneway-api",
    )


@asynccontextmanager
async def _available() -> AsyncIterator[None]:
    try:
        yield
    except PyMongoError as error:
        raise UsersUnavailable(str(error)) from error


def _user(document: Mapping[str, Any]) -> User:
    return User(document["_id"], Role(document.get("role", "user")), document.get("created_at"))
