"""Passwords: the rules for new ones, and their argon2id hashes.

A hash takes tens of milliseconds and megabytes. It runs in a few threads behind a queue of limited length, so a flood of
log-ins slows log-ins and nothing else. A password counts in Unicode form NFKC: the same keys on another keyboard log in.
"""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from threading import BoundedSemaphore
from typing import TypeVar, cast

from passlib.hash import argon2
from zxcvbn_rs_py import zxcvbn

T = TypeVar("T")

LENGTHS = range(8, 1025)
MIN_GUESSES = 1_000_000
"""Guesses that a new password must survive, by zxcvbn's estimate (its score 2). Log-ins are slow and limited, so an attacker
does not get that many over the network."""
RATED_CHARACTERS = 24
"""The estimate of a hostile text takes long: 20 ms for this many characters, half a second for a hundred."""
ARGON2_ROUNDS, ARGON2_MEMORY_KIB = 2, 65_536
"""Above OWASP's minimum (2 rounds, 19 MiB). One lane: log-ins run side by side already."""
WAITING_PER_THREAD = 16
"""Hashes that may wait for each one that runs: about a second's work."""


class UnacceptablePassword(Exception):
    """A new password breaks a rule; the text names it and may be shown to the user."""


class TooManyPasswords(Exception):
    """The queue of passwords to hash is full."""

    retry_after_seconds = 1.0


class Passwords:
    """Hashes and verifies in `parallel` threads."""

    def __init__(
        self, parallel: int, *, rounds: int = ARGON2_ROUNDS, memory_kib: int = ARGON2_MEMORY_KIB
    ) -> None:
        self._scheme = argon2.using(type="ID", rounds=rounds, memory_cost=memory_kib, parallelism=1)
        self._threads = ThreadPoolExecutor(parallel, thread_name_prefix="argon2")
        self._places = BoundedSemaphore(parallel * (1 + WAITING_PER_THREAD))

    @cached_property
    def _dummy(self) -> str:
        """Made when the first unknown user logs in, since a process that starts has better things to do."""
        return cast("str", self._scheme.hash("nobody has this password"))

    async def hash(self, password: str, username: str = "") -> str:
        """Return the hash of a new password. Raises UnacceptablePassword if it is easy to guess, and TooManyPasswords."""
        return await self._run(lambda: self._hash(normalize(password), username))

    async def verify(self, password: str, stored: str | None) -> tuple[bool, str | None]:
        """Return whether the password is right, and a new hash if the stored one is weaker than new ones.

        Without a stored hash it verifies against a dummy, so that the time of the answer does not reveal which users exist.
        Raises TooManyPasswords.
        """
        text = normalize(password)
        right, fresh = await self._run(lambda: self._verify(text, stored or self._dummy))
        return (right, fresh) if stored else (False, None)

    def close(self) -> None:
        """End the threads without waiting for the hash that each one computes."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _hash(self, password: str, username: str) -> str:
        if zxcvbn(password[:RATED_CHARACTERS], [username, "laneway"]).guesses < MIN_GUESSES:
            raise UnacceptablePassword("the password is easy to guess; use several unrelated words")
        return cast("str", self._scheme.hash(password))

    def _verify(self, password: str, stored: str) -> tuple[bool, str | None]:
        right = bool(self._scheme.verify(password, stored))
        return right, self._scheme.hash(password) if right and self._scheme.needs_update(stored) else None

    async def _run(self, work: Callable[[], T]) -> T:
        if not self._places.acquire(blocking=False):
            raise TooManyPasswords("too many passwords wait to be checked; try again")
        future = self._threads.submit(work)
        # Runs for a future that was cancelled before it started too, but not when the caller merely stops waiting.
        future.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(future)


def normalize(password: str) -> str:
    """Return the form in which a password is hashed."""
    return unicodedata.normalize("NFKC", password)


def check_form(password: str, username: str) -> None:
    """Check what needs no estimate: length, characters, and that it is not the username. Raises UnacceptablePassword."""
    text = normalize(password)
    if (
        len(text) not in LENGTHS or len(password) not in LENGTHS
    ):  # NFKC makes some texts longer and others shorter
        raise UnacceptablePassword(f"a password has {LENGTHS[0]} to {LENGTHS[-1]} characters")
    if "\0" in text:
        raise UnacceptablePassword("a password has no NUL character")
    if text.casefold() == username.casefold():
        raise UnacceptablePassword("the password must not be the username")
