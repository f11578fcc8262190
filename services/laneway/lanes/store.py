"""Sends commands to Redis: `Lanes` for threads, `AsyncLanes` for an event loop. Nothing is decided here.

Scripts go by EVALSHA, after having been loaded once; a server that does not know one (it was restarted) answers NOSCRIPT,
and then the script is loaded and only the commands that met it are sent again. Nothing else is ever repeated: after a broken connection it is
unknown whether a command was carried out, and `StoreUnavailable` says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.retry import Retry

from laneway.batcher import Batcher
from laneway.lanes.commands import Arg, Command
from laneway.lanes.connection import notice_demotions, notice_losses
from laneway.lanes.errors import LaneError, ScriptFailed, StoreUnavailable
from laneway.lanes.keys import Keys
from laneway.lanes.scripts import load
from laneway.lanes.wire import pack_in_c

T = TypeVar("T")
_STATES = ("MISCONF ", "BUSY ", "NOREPLICAS ", "UNKILLABLE ")


def connect(url: str, *, timeout_seconds: float = 5) -> redis.Redis:
    """A client that never repeats a command and gives up after `timeout_seconds`."""
    client = redis.Redis.from_url(
        url,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )
    notice_demotions(client.connection_pool)
    return client


def connect_async(url: str, *, timeout_seconds: float = 5) -> redis.asyncio.Redis:
    """As `connect`, for an event loop."""
    client = redis.asyncio.Redis.from_url(
        url,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=AsyncRetry(NoBackoff(), 0),
        protocol=2,
    )
    pack_in_c(client.connection_pool)
    notice_losses(client.connection_pool)
    return client


def _call(command: Command[Any], prefix: str) -> tuple[Arg, ...]:
    return ("EVALSHA", load(command.script).sha, 1, prefix, *command.args())


def _meaning(command: Command[T], reply: Any) -> T | LaneError:
    """The command's result, or the error to raise for it."""
    if isinstance(reply, RedisError):
        kind = ScriptFailed if _is_fault(reply) else StoreUnavailable
        error: LaneError = kind(f"{command.script}: {reply}")
        error.__cause__ = reply
        return error
    try:
        return command.parse(reply)
    except LaneError as refused:
        return refused
    except Exception as error:  # noqa: BLE001 - a bug, and one caller's alone: the replies of the others are right
        broken = LaneError(f"the reply of {command.script} makes no sense")
        broken.__cause__ = error
        return broken


def _is_fault(error: RedisError) -> bool:
    """Whether it is the script's, and not the state that the server is in: for most of those the client has classes, and the
    others begin with their code (Redis' documentation of its protocol, "Simple errors")."""
    return type(error) is ResponseError and not str(error).startswith(_STATES)


def _raised(result: T | LaneError) -> T:
    if isinstance(result, LaneError):
        raise result
    return result


class Lanes:
    """The lanes of one shard, for a thread."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self.client = client
        self.keys = keys
        self._loaded: set[str] = set()

    def run(self, command: Command[T]) -> T:
        """Raises what the command says, and StoreUnavailable."""
        result: T | LaneError = self.run_all([command])[0]
        return _raised(result)

    def run_all(self, commands: Sequence[Command[Any]]) -> list[Any]:
        """All in one round trip, in order; for each its result or the LaneError that it met. Raises StoreUnavailable.

        (After a restart of the server, those whose script it does not know come after those whose it knows again.)
        """
        self._load({command.script for command in commands} - self._loaded)
        replies = self._send(commands)
        missed = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if missed:
            self._load({commands[i].script for i in missed})
            for i, reply in zip(missed, self._send([commands[i] for i in missed]), strict=True):
                replies[i] = reply
        return [_meaning(command, reply) for command, reply in zip(commands, replies, strict=True)]

    def _load(self, names: Iterable[str]) -> None:
        try:
            for name in names:
                self.client.script_load(load(name).text)
                self._loaded.add(name)
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error

    def _send(self, commands: Sequence[Command[Any]]) -> list[Any]:
        try:
            with self.client.pipeline(transaction=False) as pipeline:
                for command in commands:
                    pipeline.execute_command(*_call(command, self.keys.prefix))
                return list(pipeline.execute(raise_on_error=False))
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error


class AsyncLanes:
    """The lanes of one shard, for an event loop. Commands that are run at the same time share a round trip."""

    MAX_TOGETHER = 128

    def __init__(self, client: redis.asyncio.Redis, keys: Keys) -> None:
        self.client = client
        self.keys = keys
        self._loaded: set[str] = set()
        self._batcher: Batcher[Command[Any], Any] = Batcher(self._send_together, max_items=self.MAX_TOGETHER)

    async def run(self, command: Command[T]) -> T:
        """Raises what the command says, and StoreUnavailable."""
        result: T = await self._batcher.submit(command)
        return result

    async def run_all(self, commands: Sequence[Command[Any]]) -> list[Any]:
        """All in one round trip, in order; for each its result or the LaneError that it met. Raises StoreUnavailable.

        (After a restart of the server, those whose script it does not know come after those whose it knows again.)
        """
        await self._load({command.script for command in commands} - self._loaded)
        replies = await self._send(commands)
        missed = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if missed:
            await self._load({commands[i].script for i in missed})
            for i, reply in zip(missed, await self._send([commands[i] for i in missed]), strict=True):
                replies[i] = reply
        return [_meaning(command, reply) for command, reply in zip(commands, replies, strict=True)]

    async def _send_together(self, commands: list[Command[Any]]) -> list[Any]:
        try:
            return await self.run_all(commands)
        except (ValueError, TypeError):  # one of them cannot be packed, so none was sent: each on its own
            return [await self._alone(command) for command in commands]

    async def _alone(self, command: Command[Any]) -> Any:
        try:
            return (await self.run_all([command]))[0]
        except Exception as error:  # noqa: BLE001 - the caller raises it
            return error

    async def _load(self, names: Iterable[str]) -> None:
        try:
            for name in names:
                await self.client.script_load(load(name).text)
                self._loaded.add(name)
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error

    async def _send(self, commands: Sequence[Command[Any]]) -> list[Any]:
        try:
            async with self.client.pipeline(transaction=False) as pipeline:
                for command in commands:
                    pipeline.execute_command(*_call(command, self.keys.prefix))
                return list(await pipeline.execute(raise_on_error=False))
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error
