"""Whether MongoDB can do what storing needs, and whether it keeps what it is given. It changes nothing in MongoDB."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import ConfigurationError, InvalidURI, OperationFailure, PyMongoError

from laneway.lanes.health import Finding
from laneway.storage.mongo import Document, connect_async, primary
from laneway.storage.webhooks import WEBHOOKS

OLDEST_VERSION = 6
_UNAUTHORIZED, _AUTHENTICATION_FAILED = 13, 18  # codes of MongoDB's errors
_NOTHING: Document = {"_id": {"$in": []}}  # fits no document
_STANDALONE = Finding(
    "standalone",
    "one server without a replica set: what it stores is lost with its disk, so use a replica set or make backups",
)


@dataclass(frozen=True, slots=True)
class MongoHealth:
    """The findings of one look at MongoDB."""

    version: str = ""
    """Empty: it does not answer."""
    problems: tuple[Finding, ...] = ()
    """Users cannot log in, or ended jobs are not stored."""
    notes: tuple[Finding, ...] = ()
    """Choices that have a cost."""
    has_webhooks: bool = False
    """Whether users have webhooks that are to get deliveries. Not looked at where there are problems."""


async def mongo_health(url: str, database: str, *, timeout_seconds: float) -> MongoHealth:
    """Look at MongoDB. Raises nothing: an error is a finding, without any password."""
    try:
        client = connect_async(url, timeout_seconds=timeout_seconds, appname="laneway-doctor")
    except (InvalidURI, ValueError):  # their texts can hold parts of the password
        text = "LANEWAY_MONGO_URL cannot be read: percent-encode : / ? # @ % in the user's name and password"
        return MongoHealth(problems=(Finding("url", text),))
    except PyMongoError as error:
        return MongoHealth(problems=(_finding(error),))
    try:
        return await _look(client[database])
    except PyMongoError as error:
        return MongoHealth(problems=(_finding(error),))
    finally:
        await client.close()


async def _look(database: AsyncDatabase[Document]) -> MongoHealth:
    hello: Document = await database.client.admin.command("hello")
    version = (await database.client.admin.command("buildInfo"))["version"]
    is_alone = (
        "setName" not in hello and hello.get("msg") != "isdbgrid"
    )  # a mongos has no replica set of its own
    problems = tuple([problem async for problem in _problems(database)])
    if int(version.partition(".")[0]) < OLDEST_VERSION:
        text = f"MongoDB {version} is too old, and not tested with Laneway: upgrade it to {OLDEST_VERSION}.0 or newer"
        problems = (Finding("too_old", text), *problems)
    has_webhooks = False
    if not problems:
        webhooks = primary(database, WEBHOOKS)
        has_webhooks = await webhooks.find_one({"disabled_reason": None}, {"_id": 1}) is not None
    return MongoHealth(version, problems, (_STANDALONE,) if is_alone else (), has_webhooks)


async def _problems(database: AsyncDatabase[Document]) -> AsyncIterator[Finding]:
    """Read, change and delete no document, with the write concern of all collections."""
    users = primary(database, "users")
    tried: tuple[tuple[str, Awaitable[Any]], ...] = (
        ("read", users.find_one(_NOTHING)),
        ("change", users.update_one(_NOTHING, {"$set": {"seen": True}})),
        ("delete", users.delete_one(_NOTHING)),
    )
    for what, answer in tried:
        try:
            await answer
        except OperationFailure as error:
            if error.code == _UNAUTHORIZED:
                text = f"the user may not {what} documents in the database {database.name!r}: give it the role readWrite there"
                yield Finding("rights", text)
            else:
                yield Finding(
                    "write_concern", f"MongoDB refuses to {what} durably (w: majority, j: true): {error}"
                )
        except PyMongoError as error:
            if what == "read":
                yield _finding(error)
            else:
                text = f"no majority of MongoDB's servers acknowledges a write ({error}): look at rs.status()"
                yield Finding("write_concern", text)


def _finding(error: PyMongoError) -> Finding:
    if isinstance(error, OperationFailure) and error.code == _AUTHENTICATION_FAILED:
        return Finding(
            "log_in",
            "MongoDB refuses the user or the password: check both, and authSource in LANEWAY_MONGO_URL",
        )
    if isinstance(error, OperationFailure) and error.code == _UNAUTHORIZED:
        return Finding("log_in", "MongoDB wants a user and a password: put both into LANEWAY_MONGO_URL")
    if isinstance(error, ConfigurationError):
        return Finding("configuration", f"MongoDB cannot be used: {error}")
    cause = str(error).partition(" (configured timeouts")[0]
    text = f"MongoDB does not answer: start it, or mend LANEWAY_MONGO_URL or the network ({cause})"
    return Finding("no_answer", text)
