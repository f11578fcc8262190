"""The real API server passes the checks that the fake one of the unit tests passes (`tests/operator/test_fake_cluster.py`)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from lightkube import AsyncClient, KubeConfig

from tests.operator.conformance import CHECKS


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_real_api_server_conforms(
    admin: Path,
    namespace: str,
    definitions: None,
    check: Callable[[AsyncClient], Awaitable[None]],
) -> None:
    async def run() -> None:
        client = AsyncClient(KubeConfig.from_file(admin), namespace=namespace, trust_env=False)
        await check(client)
        await client.close()

    asyncio.run(run())
