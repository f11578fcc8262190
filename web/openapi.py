"""Print the API's OpenAPI document, which becomes the dashboard's types (`make web-check`)."""

from __future__ import annotations

from starlette.testclient import TestClient

from laneway.api.app import create_app
from laneway.settings import Settings

print(TestClient(create_app(Settings(_env_file=None))).get("/openapi.json").raise_for_status().text)
