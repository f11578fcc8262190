"""Canaries: each fails when redis-py changes under `laneway.compat.redis_py`, and says what to do then."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import socket
import struct
import time
from collections.abc import Callable
from typing import Any, Self

import pytest
import redis.asyncio
import uvloop
from redis.asyncio import connection as loop_connections
from redis.asyncio.connection import Connection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from laneway.compat import redis_py

NewLoop = Callable[[], asyncio.AbstractEventLoop]


class Server:
    """Accepts connections and answers the handshake; `reset` breaks them with RST, as a vanished machine would."""

    def __init__(self) -> None:
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        while line := await reader.readline():
            if line.startswith(b"*"):
                writer.write(b"+OK\r\n")

    def reset(self) -> None:
        for writer in self._writers:
            sock: Any = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.close()


def pool(port: int, *, improved: bool) -> ConnectionPool:
    made: ConnectionPool = ConnectionPool.from_url(f"redis://127.0.0.1:{port}", protocol=2)
    if improved:
        redis_py.improve(made)
    return made


async def reader_ended(connection: Any) -> None:
    """Wait until the loop has seen the reset."""
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionError):
            await connection._reader.read()


def raises_when_reset(*, improved: bool) -> bool:
    async def scenario() -> bool:
        async with Server() as server:
            connection: Any = pool(server.port, improved=improved).make_connection()
            await connection.connect()
            server.reset()
            await reader_ended(connection)
            try:
                await connection.can_read()
            except RedisConnectionError:
                return True
            finally:
                await connection.disconnect(nowait=True)
        return False

    return asyncio.run(scenario())


def test_a_reset_connection_is_noticed() -> None:
    assert raises_when_reset(improved=True), (
        "redis-py changed how a pool checks connections: `can_read` of compat/redis_py.py is not asked any more, adapt it"
    )


def test_redis_py_itself_still_misses_a_reset_connection() -> None:
    assert not raises_when_reset(improved=False), (
        "redis-py notices reset connections by itself now: delete `can_read` from compat/redis_py.py"
    )


def test_a_write_to_a_lost_connection_is_a_lost_connection_on_every_loop() -> None:
    class ClosedTransport(Connection):
        async def _send_packed_command(self, command: Any) -> None:
            raise RuntimeError(
                "unable to perform operation on <TCPTransport closed=True>; the handler is closed"
            )

    async def scenario(*, improved: bool) -> None:
        async with Server() as server:
            made = pool(server.port, improved=False)
            made.connection_class = ClosedTransport
            if improved:
                redis_py.improve(made)
            connection: Any = made.make_connection()
            connection._reader = connection._writer = object()
            connection.disconnect = _nothing
            try:
                await connection.send_packed_command(b"PING", check_health=False)
            finally:
                connection._reader = connection._writer = None  # it closes what it has when it is collected

    with pytest.raises(RedisConnectionError):
        asyncio.run(scenario(improved=True))
    with pytest.raises(RuntimeError) as plain:
        asyncio.run(scenario(improved=False))
    assert type(plain.value) is RuntimeError, (
        "redis-py takes uvloop's RuntimeError for a lost connection now: delete `send_packed_command`"
    )


async def _nothing(**_: object) -> None:
    pass


def answer_after_a_standstill(redis_url: str, key: str, *, improved: bool, new_loop: NewLoop) -> Any:
    """Redis answers after 0.1 s. The process stands still from before that until long after the time limit."""

    async def scenario() -> Any:
        made: ConnectionPool = ConnectionPool.from_url(
            redis_url, socket_timeout=0.3, retry=Retry(NoBackoff(), 0), protocol=2
        )
        if improved:
            redis_py.improve(made)
        async with redis.asyncio.Redis.from_pool(made) as client:
            await client.ping()
            asyncio.get_running_loop().call_later(0.02, time.sleep, 1)
            return await client.execute_command("BLPOP", key, 0.1)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(scenario())


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_standstill_of_the_own_process_is_no_silence_of_redis(
    redis_url: str, prefix: str, new_loop: NewLoop
) -> None:
    assert answer_after_a_standstill(redis_url, prefix, improved=True, new_loop=new_loop) is None


def test_redis_py_itself_still_takes_a_standstill_for_silence(redis_url: str, prefix: str) -> None:
    """Else `_Patient` of compat/redis_py.py can go."""
    with pytest.raises(RedisTimeoutError):
        answer_after_a_standstill(redis_url, prefix, improved=False, new_loop=asyncio.new_event_loop)


@pytest.mark.parametrize("limit_seconds", [0.1, 0.5])
def test_a_silent_redis_is_given_up_in_time(redis_url: str, prefix: str, limit_seconds: float) -> None:
    async def scenario() -> float:
        made: ConnectionPool = ConnectionPool.from_url(
            redis_url, socket_timeout=limit_seconds, retry=Retry(NoBackoff(), 0), protocol=2
        )
        redis_py.improve(made)
        async with redis.asyncio.Redis.from_pool(made) as client:
            await client.ping()
            began = time.monotonic()
            with pytest.raises(RedisTimeoutError):
                await client.execute_command("BLPOP", prefix, 3)
            return time.monotonic() - began

    assert limit_seconds <= asyncio.run(scenario()) < 2


def timers_of_a_pipeline(redis_url: str, commands: int, *, improved: bool) -> int:
    """How many timers a pipeline of so many commands starts."""

    async def scenario() -> int:
        loop, started = asyncio.get_running_loop(), 0
        call_at = loop.call_at

        def counted(*args: Any, **options: Any) -> asyncio.TimerHandle:
            nonlocal started
            started += 1
            return call_at(*args, **options)

        made: ConnectionPool = ConnectionPool.from_url(redis_url, socket_timeout=5, protocol=2)
        if improved:
            redis_py.improve(made)
        async with redis.asyncio.Redis.from_pool(made) as client:
            await client.ping()
            loop.call_at = counted  # type: ignore[assignment]
            pipeline = client.pipeline(transaction=False)
            for _ in range(commands):
                pipeline.execute_command("PING")
            assert await pipeline.execute() == [True] * commands
        return started

    return asyncio.run(scenario())


def test_a_pipeline_has_one_timer_however_many_replies_it_gets(redis_url: str) -> None:
    assert timers_of_a_pipeline(redis_url, 100, improved=True) < 10


def test_redis_py_itself_still_starts_a_timer_for_each_reply(redis_url: str) -> None:
    assert timers_of_a_pipeline(redis_url, 100, improved=False) >= 100, (
        "redis-py starts fewer timers now: delete `_AtHand` from compat/redis_py.py"
    )


def test_replies_of_all_kinds_are_those_of_redis_py(redis_url: str, prefix: str) -> None:
    async def replies(*, improved: bool) -> list[Any]:
        made: ConnectionPool = ConnectionPool.from_url(redis_url, socket_timeout=5, protocol=2)
        if improved:
            redis_py.improve(made)
        async with redis.asyncio.Redis.from_pool(made) as client:
            pipeline = client.pipeline(transaction=False)
            for command in (
                ("SET", prefix, "text"),
                ("GET", prefix),
                ("GET", prefix + "-none"),
                ("LPUSH", prefix, 1),  # of a wrong type
                ("EVALSHA", "0" * 40, 0),
                ("EVAL", "return {1, {2, 'x'}, false}", 0),
                ("EVAL", "return string.rep('x', 1000000)", 0),  # does not arrive in one piece
                ("DEL", prefix),
            ):
                pipeline.execute_command(*command)
            found = await pipeline.execute(raise_on_error=False)
        return [(type(reply), str(reply)) for reply in found]

    assert asyncio.run(replies(improved=True)) == asyncio.run(replies(improved=False))


def test_a_server_that_does_not_serve_any_more_loses_its_connection() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"+OK\r\n-LOADING Redis is loading the dataset in memory\r\n")

    async def scenario() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        made = pool(server.sockets[0].getsockname()[1], improved=True)
        connection: Any = made.make_connection()
        connection.on_connect_check_health = _nothing  # no handshake
        await connection.connect()
        connection._parser.on_connect(connection)
        await connection.send_packed_command(b"two commands", check_health=False)
        assert await connection.read_response() == b"OK"
        with pytest.raises(BusyLoadingError):
            await connection.read_response()
        assert not connection.is_connected
        server.close()

    asyncio.run(scenario())


def test_redis_py_still_packs_in_python_on_an_event_loop() -> None:
    text = inspect.getsource(loop_connections)
    assert "hiredis.pack_command" not in text
    assert "HiredisRespSerializer" not in text, (
        "redis-py packs in C on event loops now (issue 4176): delete `_Packing` from compat/redis_py.py"
    )


def test_packing_in_c_gives_what_redis_py_gives() -> None:
    plain: Any = pool(1, improved=False).make_connection()
    improved: Any = pool(1, improved=True).make_connection()
    commands: list[tuple[Any, ...]] = [
        ("SCRIPT LOAD", "return 1"),
        ("SET", "key", b"\x00\xff", "PX", 1500),
        ("ZADD", "ring", 0.5, "ünïcode", -3, b""),
        ("SET", "large", b"x" * redis_py.SEPARATE_BYTES),
    ]
    for command in commands:
        assert b"".join(improved.pack_command(*command)) == b"".join(plain.pack_command(*command))
    assert b"".join(improved.pack_commands(commands)) == b"".join(plain.pack_commands(commands))
    small = commands[:3]
    assert len(improved.pack_commands(small)) == 1, "small commands are copied into one buffer"
    assert len(improved.pack_commands(commands)) == len(commands), "large ones are not copied"


def test_the_improved_class_is_used_for_new_connections() -> None:
    client: Any = redis.asyncio.Redis.from_pool(pool(1, improved=True))
    connection = client.connection_pool.make_connection()
    assert isinstance(connection, Connection), "the pool still makes connections of its own class"
    for name in (
        "pack_command",
        "pack_commands",
        "can_read",
        "send_packed_command",
        "_read_response_from_parser",
        "read_response",
    ):
        assert hasattr(Connection, name), (
            f"redis-py has no Connection.{name} any more: adapt compat/redis_py.py"
        )
        assert getattr(type(connection), name) is not getattr(Connection, name)
