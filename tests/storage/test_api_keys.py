"""API keys in MongoDB: what is stored of them, who finds them, and how many a user may have."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

import pymongo
import pytest

from laneway.scopes import Scope
from laneway.storage import key_format
from laneway.storage.api_keys import ApiKeys, TooManyKeys
from laneway.storage.mongo import connect_async

T = TypeVar("T")
Ask = Callable[[Callable[[ApiKeys], Awaitable[Any]]], Any]


@pytest.fixture
def ask(mongo_url: str, mongo_database: str) -> Ask:
    def run(question: Callable[[ApiKeys], Awaitable[T]]) -> T:
        async def asked() -> T:
            async with connect_async(mongo_url, timeout_seconds=20, appname="test") as client:
                return await question(ApiKeys(client[mongo_database]))

        return asyncio.run(asked())

    return run


def test_the_text_of_a_key_is_recognised_and_its_mistakes_are_found() -> None:
    texts = [key_format.new_text() for _ in range(100)]
    assert len({key_format.id_of(text) for text in texts}) == 100
    for text in texts:
        assert re.fullmatch(r"laneway_[0-9A-Za-z]{48}", text)
        wrong = ("0" if text[20] != "0" else "1").join((text[:20], text[21:]))
        for spoilt in (wrong, text[:-1], text + "0", text.removeprefix("laneway_"), text.swapcase(), ""):
            assert key_format.id_of(spoilt) is None


def test_a_key_is_found_by_its_text_and_its_text_is_not_stored(
    ask: Ask, mongo_url: str, mongo_database: str
) -> None:
    key, text = ask(
        lambda keys: keys.create("ann", "importer", {Scope.READ, Scope.ENQUEUE}, timedelta(days=1))
    )
    assert (key.user, key.name, key.scopes) == ("ann", "importer", {Scope.READ, Scope.ENQUEUE})
    assert key.last_used_at is None
    assert ask(lambda keys: keys.use(text)).id == key.id
    assert ask(lambda keys: keys.use(key_format.new_text())) is None
    body = key_format.new_text()[: -key_format.CHECKSUM_CHARACTERS]
    body = key_format.PREFIX + key.id + body[len(key_format.PREFIX) + len(key.id) :]
    forged = body + key_format.checksum(body)
    assert key_format.id_of(forged) == key.id
    assert ask(lambda keys: keys.use(forged)) is None, "the id alone is not enough"
    (listed,) = ask(lambda keys: keys.of_user("ann"))
    assert listed.last_used_at is not None
    assert (listed.created_at, listed.expires_at) == (key.created_at, key.created_at + timedelta(days=1))
    with pymongo.MongoClient[dict[str, Any]](mongo_url) as client:
        (document,) = client[mongo_database]["api_keys"].find()
    assert text[len("laneway_") + len(key.id) :] not in repr(document)


def test_a_key_belongs_to_its_user(ask: Ask) -> None:
    key, text = ask(lambda keys: keys.create("ann", "k", {Scope.READ}, None))
    assert ask(lambda keys: keys.find("bob", key.id)) is None
    assert ask(lambda keys: keys.of_user("bob")) == []
    assert ask(lambda keys: keys.find("ann", key.id)) == key
    ask(lambda keys: keys.delete(key.id))
    assert ask(lambda keys: keys.find("ann", key.id)) is None
    assert ask(lambda keys: keys.use(text)) is None


def test_a_user_has_a_bounded_number_of_keys(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if they are made at the same time."""
    monkeypatch.setattr("laneway.storage.api_keys.MAX_KEYS", 5)

    async def at_once(keys: ApiKeys) -> list[Any]:
        made = (keys.create("ann", str(n), {Scope.READ}, None) for n in range(12))
        return await asyncio.gather(*made, return_exceptions=True)

    answers = ask(at_once)
    assert all(isinstance(answer, tuple | TooManyKeys) for answer in answers)
    assert len(ask(lambda keys: keys.of_user("ann"))) <= 5
    ask(lambda keys: keys.create("bob", "k", {Scope.READ}, None))


def test_expired_keys_make_room(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("laneway.storage.api_keys.MAX_KEYS", 1)
    ask(lambda keys: keys.create("ann", "old", {Scope.READ}, timedelta(seconds=-1)))
    ask(lambda keys: keys.create("bob", "old", {Scope.READ}, timedelta(seconds=-1)))
    ask(lambda keys: keys.create("ann", "new", {Scope.READ}, timedelta(days=1)))
    assert [key.name for key in ask(lambda keys: keys.of_user("ann"))] == ["new"]
    assert [key.name for key in ask(lambda keys: keys.of_user("bob"))] == ["old"]
    with pytest.raises(TooManyKeys):
        ask(lambda keys: keys.create("ann", "newer", {Scope.READ}, None))
