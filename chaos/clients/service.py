"""What a Kubernetes Service does for several API pods: it sends requests only to those that were ready at the last probe."""

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
        """Return the address for the next request: that of a ready API, or of any if none is ready."""
        return self._random.choice(self._ready or self._urls)

    async def probe_forever(self) -> None:
        """Probe all APIs again and again, until cancelled."""
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(timeout=PROBE_LIMIT_SECONDS, limits=limits) as client:
            while True:
                ready = await asyncio.gather(*(_is_ready(client, url) for url in self._urls))
                self._ready = [url for url, yes in zip(self._urls, ready, strict=True) if yes]
                await asyncio.sleep(PROBE_SECONDS)


async def _is_ready(client: httpx.AsyncClient, url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return (await client.get(f"{url}/readyz")).status_code == 200
    return False
