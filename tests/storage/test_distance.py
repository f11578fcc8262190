"""A MongoDB far away, through a proxy that delays: accounts work, the URL's time limits count, nothing waits for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar
from urllib.parse import urlsplit

import pytest
from pymongo import ReadPreference
from pymongo.errors import PyMongoError

from chaos.system.proxy import Proxy
from laneway.storage.mongo import connect, connect_async, primary
from laneway.storage.passwords import Passwords
from laneway.storage.users import Users, UsersUnavailable

TIMEOUT_SECONDS = 0.9
T = TypeVar("T")


@pytest.fixture
def proxy(mongo_url: str) -> Iterator[Proxy]:
    proxy = Proxy(urlsplit(mongo_url).port or 27017)
    proxy.start()
    yield proxy
    proxy.stop()


def through(proxy: Proxy, mongo_url: str, options: str = "") -> str:
    login = urlsplit(mongo_url).netloc.rpartition("@")[0]
    return f"mongodb://{f'{login}@' if login else ''}127.0.0.1:{proxy.port}/?authSource=admin{options}"


def ask(
    url: str,
    database: str,
    question: Callable[[Users], Awaitable[T]],
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> T:
    passwords = Passwords(2, rounds=1, memory_kib=1024)

    async def run() -> T:
        async with connect_async(url, timeout_seconds=timeout_seconds, appname="test") as client:
            return await question(Users(client[database], passwords))

    return asyncio.run(run())


async def _once_available(work: Callable[[], Awaitable[T]]) -> T:
    """Retry for a while, as a client does after a 503."""
    deadline = time.monotonic() + 15
    while True:
        try:
            return await work()
        except UsersUnavailable:
            if time.monotonic() > deadline:
                raise


@pytest.mark.parametrize(
    ("one_way_seconds", "timeout_seconds"), [(0.075, 0.9), pytest.param(0.4, 5.0, marks=pytest.mark.thorough)]
)
def test_accounts_with_a_distant_server(
    proxy: Proxy, mongo_url: str, mongo_database: str, one_way_seconds: float, timeout_seconds: float
) -> None:
    """150 ms there and back is within the default time limit, 800 ms within a raised one."""
    proxy.delay(one_way_seconds)

    async def account(users: Users) -> None:
        await _once_available(lambda: users.find("ann"))
        await users.register("ann", "correct horse")
        for _ in range(5):  # once connected, no log-in fails
            assert (await users.log_in("ann", "correct horse")).name == "ann"

    ask(through(proxy, mongo_url), mongo_database, account, timeout_seconds)


def test_time_limits_in_the_url_win(proxy: Proxy, mongo_url: str, mongo_database: str) -> None:
    """The server is further away than the setting allows."""
    proxy.delay(0.6)
    url = through(proxy, mongo_url, "&serverSelectionTimeoutMS=10000&connectTimeoutMS=10000")
    assert ask(url, mongo_database, lambda users: users.find("ann")) is None


def test_a_server_that_has_fallen_silent_is_given_up_in_time(
    proxy: Proxy, mongo_url: str, mongo_database: str
) -> None:
    async def fall_silent(users: Users) -> float:
        await users.find("ann")
        proxy.stall()
        began = time.monotonic()
        with pytest.raises(UsersUnavailable):
            await users.find("ann")
        return time.monotonic() - began

    assert ask(through(proxy, mongo_url), mongo_database, fall_silent) < TIMEOUT_SECONDS + 0.5


def test_a_client_of_a_server_that_is_away_is_closed_in_time(
    proxy: Proxy, mongo_url: str, mongo_database: str
) -> None:
    """The driver wants to end its sessions first: one for each operation that ran at the same time as others."""

    async def close() -> float:
        client = connect_async(through(proxy, mongo_url), timeout_seconds=TIMEOUT_SECONDS, appname="test")
        users = client[mongo_database]["users"]
        await asyncio.gather(*(users.find_one() for _ in range(5)))
        proxy.refuse()
        proxy.reset()
        with pytest.raises(PyMongoError):
            await users.find_one()
        began = time.monotonic()
        await client.close()
        return time.monotonic() - began

    assert asyncio.run(close()) < TIMEOUT_SECONDS + 5  # without its own limit it waits 30 s


@pytest.mark.parametrize("preference", ["secondary", "secondaryPreferred", "nearest"])
def test_what_was_written_is_read_from_the_primary(preference: str) -> None:
    url = f"mongodb://127.0.0.1:1/?readPreference={preference}&w=0"

    async def options() -> tuple[object, object]:
        async with connect_async(url, timeout_seconds=1, appname="test") as client:
            collection = primary(client["any"], "users")
            return collection.read_preference, collection.write_concern.document

    assert asyncio.run(options()) == (ReadPreference.PRIMARY, {"w": "majority", "j": True})


@pytest.mark.parametrize(
    ("options", "milliseconds"),
    [
        ("", 900),
        ("?timeoutMS=5000", 5000),
        ("?TIMEOUTms=300", 300),
        ("?serverSelectionTimeoutMS=4000&socketTimeoutMS=2000", 6000),
        ("?connectTimeoutMS=100", 900),
    ],
)
def test_the_limit_of_an_operation(options: str, milliseconds: int) -> None:
    with connect(f"mongodb://127.0.0.1:1/{options}", timeout_seconds=0.9, appname="test") as client:
        assert client.options.timeout == milliseconds / 1000
