"""Users and passwords without HTTP: names, rules for passwords, their hashes, and the queue of passwords to hash."""

from __future__ import annotations

import asyncio
import time
import unicodedata
from collections.abc import Awaitable, Callable, Collection
from typing import Any, TypeVar

import pymongo
import pytest

from laneway.storage.mongo import connect_async
from laneway.storage.passwords import Passwords
from laneway.storage.users import (
    CannotRegister,
    Role,
    UsernameTaken,
    Users,
    UsersUnavailable,
    WrongCredentials,
)

T = TypeVar("T")


def ask(
    url: str,
    database: str,
    passwords: Passwords,
    question: Callable[[Users], Awaitable[T]],
    reserved: Collection[str] = (),
) -> T:
    async def run() -> T:
        async with connect_async(url, timeout_seconds=10, appname="test") as client:
            return await question(Users(client[database], passwords, reserved=reserved))

    return asyncio.run(run())


def stored(url: str, database: str) -> dict[str, Any]:
    with pymongo.MongoClient[dict[str, Any]](url) as client:
        return client[database]["users"].find_one({"_id": "ann"}) or {}


def test_passwords_are_stored_as_argon2id_hashes(mongo_url: str, mongo_database: str) -> None:
    ask(mongo_url, mongo_database, Passwords(1), lambda users: users.register("ann", "correct horse"))
    document = stored(mongo_url, mongo_database)
    assert document["password"].startswith("$argon2id$v=19$m=65536,t=2,p=1$")
    assert document["role"] == "user"
    assert "correct horse" not in str(document)


def test_a_log_in_replaces_a_weak_hash(mongo_url: str, mongo_database: str) -> None:
    weak, strong = Passwords(1, rounds=1, memory_kib=1024), Passwords(1, rounds=2, memory_kib=2048)
    ask(mongo_url, mongo_database, weak, lambda users: users.register("ann", "correct horse"))
    with pytest.raises(WrongCredentials):
        ask(mongo_url, mongo_database, strong, lambda users: users.log_in("ann", "wrong horse"))
    assert "m=1024" in stored(mongo_url, mongo_database)["password"]
    for _ in range(2):
        ask(mongo_url, mongo_database, strong, lambda users: users.log_in("ann", "correct horse"))
        assert "m=2048,t=2" in stored(mongo_url, mongo_database)["password"]


def test_a_cancelled_caller_leaves_the_queue(mongo_url: str) -> None:
    """And takes no place with it."""
    passwords = Passwords(1, rounds=1, memory_kib=1024)

    async def give_up() -> None:
        asked = [asyncio.create_task(passwords.hash("correct horse")) for _ in range(10)]
        await asyncio.sleep(0)
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)

    async def all_places() -> list[str]:
        return await asyncio.gather(*(passwords.hash("correct horse") for _ in range(17)))

    for _ in range(5):
        asyncio.run(give_up())
    passwords._threads.submit(lambda: None).result(10)
    assert len(asyncio.run(all_places())) == 17


def test_users_in_order_of_their_names(mongo_url: str, mongo_database: str) -> None:
    passwords = Passwords(1, rounds=1, memory_kib=1024)

    async def register_all(users: Users) -> None:
        for name in ("cid", "ann", "Bob"):
            await users.register(name, "correct horse")

    ask(mongo_url, mongo_database, passwords, register_all)
    page = ask(mongo_url, mongo_database, passwords, lambda users: users.page("", 2))
    assert [user.name for user in page] == ["ann", "bob"]
    page = ask(mongo_url, mongo_database, passwords, lambda users: users.page("bob", 2))
    assert [user.name for user in page] == ["cid"]
    assert ask(mongo_url, mongo_database, passwords, lambda users: users.set_role("ann", Role.ADMIN))
    assert not ask(mongo_url, mongo_database, passwords, lambda users: users.set_role("dan", Role.ADMIN))
    found = ask(mongo_url, mongo_database, passwords, lambda users: users.find("ann"))
    assert found is not None
    assert found.role is Role.ADMIN
    assert found.created_at is not None


@pytest.mark.parametrize("spelling", ["ann", "Ann", "ANN", "\uff21nn"])
def test_a_name_is_one_in_every_spelling(mongo_url: str, mongo_database: str, spelling: str) -> None:
    passwords = Passwords(1, rounds=1, memory_kib=1024)

    async def one_user(users: Users) -> None:
        assert (await users.register("Ann", "correct horse")).name == "ann"
        with pytest.raises(UsernameTaken):
            await users.register(spelling, "correct horse")
        assert (await users.log_in(spelling, "correct horse")).name == "ann"
        found = await users.find(spelling)
        assert found is not None
        assert found.name == "ann"
        assert await users.set_role(spelling, Role.USER)

    ask(mongo_url, mongo_database, passwords, one_user)


def test_a_password_is_one_in_every_unicode_form(mongo_url: str, mongo_database: str) -> None:
    """A keyboard gives an umlaut as one character, another as two."""
    passwords = Passwords(1, rounds=1, memory_kib=1024)
    composed, decomposed = (unicodedata.normalize(form, "grüne Bäume drüben") for form in ("NFC", "NFD"))
    assert composed != decomposed

    async def log_in(users: Users) -> None:
        await users.register("ann", composed)
        await users.register("bob", decomposed)
        for name in ("ann", "bob"):
            for password in (composed, decomposed):
                assert (await users.log_in(name, password)).name == name

    ask(mongo_url, mongo_database, passwords, log_in)


@pytest.mark.parametrize(
    "password",
    [
        "password1234",
        "Summer2026",
        "11111112",
        "qwertyuiop12",
        "P@ssw0rd!",
        "iloveyou2",
        "annannann",
        "laneway123",
        "abcabcabc" * 20,
    ],
)
def test_a_password_that_is_easy_to_guess_is_refused(
    mongo_url: str, mongo_database: str, password: str
) -> None:
    passwords = Passwords(1, rounds=1, memory_kib=1024)
    with pytest.raises(CannotRegister, match="easy to guess") as caught:
        ask(mongo_url, mongo_database, passwords, lambda users: users.register("ann", password))
    assert caught.value.field == "password"
    assert password not in str(caught.value)


def test_rating_a_hostile_password_is_quick() -> None:
    """Rating the whole text would take half a second."""
    passwords = Passwords(1, rounds=1, memory_kib=1024)
    began = time.process_time()
    asyncio.run(passwords.hash("4@8({[<369&#!1|0$5+7%2" * 45, "ann"))
    assert time.process_time() - began < 0.5


def test_reserved_names(mongo_url: str, mongo_database: str) -> None:
    """The administrator that the settings name may have one."""
    passwords = Passwords(1, rounds=1, memory_kib=1024)

    async def register(reserved: Users) -> None:
        for name in ("admin", "ADMIN", "Support"):
            with pytest.raises(CannotRegister, match="reserved"):
                await reserved.register(name, "correct horse")
        assert (await reserved.register("Admin", "correct horse", Role.ADMIN)).name == "admin"

    ask(mongo_url, mongo_database, passwords, register, reserved=("admin", "support"))


def test_without_mongodb_it_raises_unavailable() -> None:
    passwords = Passwords(1, rounds=1, memory_kib=1024)

    async def run() -> None:
        async with connect_async("mongodb://127.0.0.1:1", timeout_seconds=0.05, appname="test") as client:
            users = Users(client["x"], passwords)
            for question in (
                users.register("ann", "correct horse"),
                users.log_in("ann", "x"),
                users.page("", 1),
            ):
                with pytest.raises(UsersUnavailable):
                    await question

    asyncio.run(run())
