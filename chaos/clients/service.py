"""What Kubernetes puts before several API pods: requests go only where readiness was seen lately, and nowhere else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from random import Random

import httpx

PROBE_SECONDS = 0.2
PROBE_LIMIT_SECONDS = 1.0


class Service:
    """Knows which of the APIs are ready."""

    def __init__(self, urls: Sequence[str], random: Random) -> None:
        self._urls, self._random = list(urls), random
        self._ready = list(urls)

    def url(self) -> str:
        """Where to send the next request: an API that is ready, or if none is, any."""
        return self._random.choice(self._ready or self._urls)

    async def probe_for_ever(self) -> None:
        """Ask all of them again and again."""
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(timeout=PROBE_LIMIT_SECONDS, limits=limits) as client:
            while True:
                found = await asyncio.gather(*(_is_ready(client, url) for url in self._urls))
                self._ready = [url for url, ready in zip(self._urls, found, strict=True) if ready]
                await asyncio.sleep(PROBE_SECONDS)


async def _is_ready(client: httpx.AsyncClient, url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return (await client.get(f"{url}/readyz")).status_code == 200
    return False
