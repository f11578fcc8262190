"""Sends commands to Redis: `Lanes` for threads, `AsyncLanes` for an event loop. Nothing is decided here.

Scripts go by EVALSHA after they were loaded once. A server that does not know one (it was restarted) answers NOSCRIPT; then
the script is loaded, and only the commands that got this answer are sent again. Nothing else is ever repeated: after a broken
connection it is unknown whether a command was carried out, and `StoreUnavailable` says so.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, TypeVar

import redis
import redis.asyncio
from redis.exceptions import NoScriptError, ReadOnlyError, RedisError

from laneway.batcher import Batcher
from laneway.lanes.commands import Arg, Command
from laneway.lanes.connection import connect, connect_async
from laneway.lanes.errors import LaneError
from laneway.lanes.keys import Keys
from laneway.lanes.refusals import error_of
from laneway.lanes.scripts import load

__all__ = ["AsyncLanes", "Lanes", "connect", "connect_async"]

T = TypeVar("T")
MAX_TOGETHER = 128
"""Commands of concurrent callers that share one round trip."""
_Calls = list[tuple[Arg, ...]]
_RoundTrips = Generator[_Calls, list[Any], list[Any]]
"""Yields the calls of each round trip, is sent their replies, and returns the results."""


class _Conversation:
    """Which calls to send for commands, and what the replies mean, whoever sends them."""

    def __init__(self, keys: Keys) -> None:
        self._prefix = keys.prefix
        self._loaded: set[str] = set()

    def hold(self, commands: Sequence[Command[Any]]) -> _RoundTrips:
        """Return for each command its result or the LaneError that it met."""
        unknown = {command.script for command in commands} - self._loaded
        if unknown:
            yield from self._load(unknown)
        replies = yield self._calls(commands)
        missed = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if missed:
            yield from self._load({commands[i].script for i in missed})
            again = yield self._calls([commands[i] for i in missed])
            for i, reply in zip(missed, again, strict=True):
                replies[i] = reply
        return [_result(command, reply) for command, reply in zip(commands, replies, strict=True)]

    def hold_after(self, wait: tuple[Arg, ...], command: Command[Any]) -> _RoundTrips:
        """Return the reply to `wait`, or its error; and the result of `command`, sent right behind it, or the LaneError that it met."""
        if command.script not in self._loaded:
            yield from self._load({command.script})
        waited, reply = yield [wait, *self._calls([command])]
        if isinstance(reply, NoScriptError):
            yield from self._load({command.script})
            (reply,) = yield self._calls([command])
        return [waited, _result(command, reply)]

    def _calls(self, commands: Sequence[Command[Any]]) -> _Calls:
        return [
            ("EVALSHA", load(command.script).sha, 1, self._prefix, *command.args()) for command in commands
        ]

    def _load(self, names: set[str]) -> Generator[_Calls, list[Any], None]:
        replies = yield [("SCRIPT LOAD", load(name).text) for name in names]
        for name, reply in zip(names, replies, strict=True):
            if isinstance(reply, RedisError):
                raise error_of(reply, name) from reply
            self._loaded.add(name)


def _result(command: Command[T], reply: Any) -> T | LaneError:
    if isinstance(reply, RedisError):
        error = error_of(reply, command.script)
        error.__cause__ = reply
        return error
    try:
        return command.parse(reply)
    except LaneError as refused:
        return refused
    except Exception as error:  # noqa: BLE001 - a bug, and one caller's alone: the replies of the others are right
        broken = LaneError(f"the reply of {command.script} cannot be parsed")
        broken.__cause__ = error
        return broken


def _is_demoted(replies: Sequence[Any]) -> bool:
    return any(isinstance(reply, ReadOnlyError) for reply in replies)


def _raise_or_return(result: T | LaneError) -> T:
    if isinstance(result, LaneError):
        raise result
    return result


class Lanes:
    """The lanes behind one prefix, for threads."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self.client = client
        self.keys = keys
        self._conversation = _Conversation(keys)

    def run(self, command: Command[T]) -> T:
        """Send one command. Raises what the command says, and StoreUnavailable."""
        result: T | LaneError = self.run_all([command])[0]
        return _raise_or_return(result)

    def run_all(self, commands: Sequence[Command[Any]]) -> list[Any]:
        """Send commands in one round trip. Return for each, in order, its result or the LaneError that it met.

        Raises StoreUnavailable. After a restart of the server, commands whose script it does not know run after the others.
        """
        conversation = self._conversation.hold(commands)
        replies: list[Any] | None = None
        try:
            while True:
                calls = conversation.send(replies)  # type: ignore[arg-type]  # None starts a generator
                replies = self._send(calls)
        except StopIteration as ended:
            return list(ended.value)

    def _send(self, calls: _Calls) -> list[Any]:
        try:
            with self.client.pipeline(transaction=False) as pipeline:
                for call in calls:
                    pipeline.execute_command(*call)
                replies = list(pipeline.execute(raise_on_error=False))
            if _is_demoted(replies):  # the address may stand for another server now
                self.client.connection_pool.disconnect(inuse_connections=False)
        except (RedisError, OSError) as error:
            raise error_of(error) from error
        return replies


class AsyncLanes:
    """The lanes behind one prefix, for an event loop. Commands that run at the same time share a round trip."""

    MAX_TOGETHER = MAX_TOGETHER

    def __init__(self, client: redis.asyncio.Redis, keys: Keys) -> None:
        self.client = client
        self.keys = keys
        self._conversation = _Conversation(keys)
        self._batcher: Batcher[Command[Any], Any] = Batcher(self._send_together, max_items=MAX_TOGETHER)

    async def run(self, command: Command[T]) -> T:
        """Send one command. Raises what the command says, and StoreUnavailable."""
        result: T = await self._batcher.submit(command)
        return result

    async def run_all(self, commands: Sequence[Command[Any]]) -> list[Any]:
        """Do as `Lanes.run_all`."""
        return await self._talk(self._conversation.hold(commands))

    async def run_after_wakeup(
        self, lists: Sequence[str], timeout_seconds: float, command: Command[T]
    ) -> tuple[T, LaneError | None]:
        """Wait until one of the lists has an element, remove it, and run the command; when the time is up, run it anyway.

        One round trip: Redis blocks at the first call and runs the second as soon as the first has ended. The client's
        timeout must be longer than `timeout_seconds`. Returns the result, and the error if Redis refused to wait. Raises what
        the command says, and StoreUnavailable.
        """
        wait: tuple[Arg, ...] = ("BLPOP", *lists, timeout_seconds)
        waited, result = await self._talk(self._conversation.hold_after(wait, command))
        return _raise_or_return(result), error_of(waited) if isinstance(waited, RedisError) else None

    async def _talk(self, conversation: _RoundTrips) -> list[Any]:
        replies: list[Any] | None = None
        try:
            while True:
                calls = conversation.send(replies)  # type: ignore[arg-type]  # None starts a generator
                replies = await self._send(calls)
        except StopIteration as ended:
            return list(ended.value)

    async def _send_together(self, commands: list[Command[Any]]) -> list[Any]:
        try:
            return await self.run_all(commands)
        except (ValueError, TypeError):  # one of them cannot be packed, so none was sent: send each by itself
            return [await self._send_alone(command) for command in commands]

    async def _send_alone(self, command: Command[Any]) -> Any:
        try:
            return (await self.run_all([command]))[0]
        except Exception as error:  # noqa: BLE001 - the caller raises it
            return error

    async def _send(self, calls: _Calls) -> list[Any]:
        try:
            async with self.client.pipeline(transaction=False) as pipeline:
                for call in calls:
                    pipeline.execute_command(*call)
                replies = list(await pipeline.execute(raise_on_error=False))
            if _is_demoted(replies):  # the address may stand for another server now
                await self.client.connection_pool.disconnect(inuse_connections=False)
        except (RedisError, OSError) as error:
            raise error_of(error) from error
        return replies
