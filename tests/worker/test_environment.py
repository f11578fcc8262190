"""Environments that people have: Celery's own variables, Redis on a Unix socket or behind TLS, things to make after the fork."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from redis.exceptions import RedisError

from laneway.dev import embedded
from laneway.lanes.connection import connect
from laneway.lanes.keys import Keys
from laneway.lanes.model import JobState
from laneway.redis_address import parse
from laneway.settings import Settings
from laneway.worker.celery.turns_app import TurnsApp
from tests.cluster.pki import Authority
from tests.worker.running import System, fresh, running, wait_for

HOSTILE = {
    "APP": "somebody_elses",
    "BROKER_URL": "amqp://127.0.0.1:1",
    "CELERY_APP": "somebody_elses",
    "CELERY_BROKER_READ_URL": "amqp://127.0.0.1:1",
    "CELERY_BROKER_URL": "amqp://127.0.0.1:1",
    "CELERY_BROKER_WRITE_URL": "amqp://127.0.0.1:1",
    "CELERY_CONFIG_MODULE": "somebody_elses_config",
    "CELERY_LOADER": "somebody_elses.Loader",
    "CELERY_RESULT_BACKEND": "db+sqlite:////nowhere/results.db",
    "CONFIG_MODULE": "somebody_elses_config",
    "LOADER": "somebody_elses.Loader",
    "RESULT_BACKEND": "db+sqlite:////nowhere/results.db",
    "WORKDIR": "/nowhere",
}


def test_celerys_variables_and_a_long_folder_for_temporary_files_change_nothing(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path of a socket has 108 bytes at most."""
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    with fresh(redis_url, folder) as system, running(system):
        _serves(system)


def test_redis_on_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    command = [embedded.valkey_binary(), "--port", "0", "--unixsocket", str(path), "--save", ""]
    server = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        wait_for(path.exists)
        with fresh(f"unix://{path}?db=3", tmp_path) as system:
            with running(system):
                _serves(system)
            with redis.Redis(unix_socket_path=str(path), db=0) as other:
                assert other.dbsize() == 0
    finally:
        server.terminate()
        server.wait()


def test_redis_behind_tls(redis_url: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with (
        tls(redis_url, authority) as url,
        fresh(f"{url}?ssl_ca_certs={authority.certificate}", tmp_path) as system,
        running(system),
    ):
        _serves(system)


def test_certificates_are_verified(redis_url: str, tmp_path: Path) -> None:
    with tls(redis_url, Authority(tmp_path)) as url:
        with pytest.raises(RedisError, match="certificate"):
            connect(url).ping()
        app = TurnsApp(Settings(redis_url=url, _env_file=None), Keys("own"))
        with pytest.raises(Exception, match="certificate"), app.connection_for_read() as connection:
            connection.default_channel.client.ping()


def _serves(system: System) -> None:
    user = system.user()
    ids = system.enqueue(user, "work", *[{"ms": 1}] * 20)
    assert {job.state for job in system.ended(user, ids)} == {JobState.SUCCEEDED}


@contextmanager
def tls(redis_url: str, authority: Authority) -> Iterator[str]:
    """A TLS server in front of this Redis; its URL."""
    address = parse(redis_url)
    certificate, key = authority.issue("redis", "/CN=redis", server=["IP:127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    loop = asyncio.new_event_loop()
    port = embedded.free_port()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind = await asyncio.open_connection(address.host, address.port)
        await asyncio.gather(pump(reader, behind[1]), pump(behind[0], writer))

    async def close() -> None:
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", port, ssl=context))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"rediss://{address.login}127.0.0.1:{port}/{address.database}"
    finally:
        asyncio.run_coroutine_threadsafe(close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_a_worker_that_cannot_make_locks_says_what_is_missing() -> None:
    code = """
import multiprocessing
def Lock(): raise OSError(30, "Read-only file system")
multiprocessing.Lock = Lock
from laneway.worker import supervisor
supervisor.main('INFO', 60, 5)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "mount /dev/shm" in done.stdout
