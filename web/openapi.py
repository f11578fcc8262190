"""Print the API's OpenAPI document: `make web-types` turns it into the dashboard's types."""

from __future__ import annotations

import json

from laneway.api.app import create_app
from laneway.settings import Settings

print(json.dumps(create_app(Settings(_env_file=None)).openapi(), indent=1))
