"""Connections to Redis that never repeat a command and give up in time."""

from __future__ import annotations

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.driver_info import DriverInfo
from redis.exceptions import ReadOnlyError
from redis.retry import Retry

from laneway.compat import redis_py

_DRIVER = DriverInfo()
"""The name and version of redis-py, which each connection sends to the server. redis-py would look its version up each time: 2 ms."""


def connect(url: str, *, timeout_seconds: float = 5) -> redis.Redis:
    """Return a client for threads. After a broken connection it is unknown whether a command was carried out, so it never repeats one."""
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(NoBackoff(), 0),
        retry_on_error=[ReadOnlyError],  # with no retries: it only drops the connection to a demoted server
        protocol=2,
        driver_info=_DRIVER,
    )


def connect_async(
    url: str, *, timeout_seconds: float = 5, max_connections: int | None = None
) -> redis.asyncio.Redis:
    """Return a client for an event loop, like `connect`. Callers wait up to `timeout_seconds` for one of `max_connections`."""
    kind = redis.asyncio.BlockingConnectionPool if max_connections else redis.asyncio.ConnectionPool
    limits = {"max_connections": max_connections, "timeout": timeout_seconds} if max_connections else {}
    pool = kind.from_url(
        url,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=AsyncRetry(NoBackoff(), 0),
        retry_on_error=[ReadOnlyError],
        protocol=2,
        driver_info=_DRIVER,
        **limits,
    )
    redis_py.improve(pool)
    return redis.asyncio.Redis.from_pool(pool)
