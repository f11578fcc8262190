"""An API that most tests share, each with users of its own, and a way to start one with other settings."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
import structlog

from laneway.storage.passwords import Passwords
from laneway.telemetry import log as logs
from tests.api.running import SECRET, Api, in_thread, settings_of
from tests.conftest import drop_from_given_server

WEBHOOKS = {"webhooks_key": SECRET, "webhooks_allow_private": "127.0.0.0/8"}


@pytest.fixture(scope="package", autouse=True)
def log_lines() -> Iterator[None]:
    """Log as in production: one JSON object a line on standard output."""
    logs.configure("api", "INFO")
    structlog.configure(
        cache_logger_on_first_use=False
    )  # tests of other packages capture what the same loggers write
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="package", autouse=True)
def quick_hashes() -> Iterator[None]:
    """Hash passwords in 5 ms instead of 150: most tests log in to do something else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("laneway.api.startup.Passwords", partial(Passwords, rounds=1, memory_kib=8192))
        yield


@pytest.fixture
def production_hashes(quick_hashes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """An API that the test starts hashes passwords as in production."""
    monkeypatch.setattr("laneway.api.startup.Passwords", Passwords)


@pytest.fixture(scope="package")
def api(redis_url: str, mongo_url: str, quick_hashes: None) -> Iterator[Api]:
    name = "t" + secrets.token_hex(8)
    settings = settings_of(redis_url, mongo_url, name, name, demo_faults=True, **WEBHOOKS)
    with in_thread(settings) as running:
        yield running
        for key in running.lanes.all_keys():
            running.lanes.client.unlink(running.lanes.key(key))
    drop_from_given_server(mongo_url, name)


@pytest.fixture
def start_api(
    redis_url: str, mongo_url: str, prefix: str, mongo_database: str
) -> Iterator[Callable[..., Api]]:
    """Start an API with these settings."""
    with ExitStack() as stack:

        def start(**options: Any) -> Api:
            settings = settings_of(redis_url, mongo_url, prefix, mongo_database, **options)
            return stack.enter_context(in_thread(settings))

        yield start
