"""Print the API's OpenAPI document, which becomes the dashboard's types (`make web-check`)."""

from __future__ import annotations

import asyncio

import httpx

from laneway.api.app import create_app
from laneway.settings import Settings


async def document() -> str:
    """Return the OpenAPI document as JSON text. The application answers the request in this process, without a server."""
    transport = httpx.ASGITransport(create_app(Settings(_env_file=None)))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        return (await client.get("/openapi.json")).raise_for_status().text


print(asyncio.run(document()))
