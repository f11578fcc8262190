"""The OpenAPI document against the API: every answer to generated requests, good and bad, must be documented."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from laneway.storage.users import Role
from tests.api.running import Api

QUICK, THOROUGH = 3, 20
"""Requests to each operation."""
BEYOND_EXAMPLES = {
    "/api/login/oidc": {"no-issuer"},
    "/api/account/password": {"invalid-credentials"},
    "/api/account/delete": {"invalid-credentials"},
    "/api/webhooks": {"", "bad-request"},
}
"""What an example meets where it fits: there is no issuer, this caller has no password, and the host of a webhook may have no
address here."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("mode", "examples"),
    [
        ("positive", QUICK),
        pytest.param("positive", THOROUGH, marks=pytest.mark.thorough),
        pytest.param("negative", THOROUGH, marks=pytest.mark.thorough),
    ],
)
def test_answers_are_as_documented(api: Api, mode: str, examples: int) -> None:
    from tests.api import generated_requests  # noqa: PLC0415 - see there

    assert generated_requests.try_all(api, mode, examples, with_probes=examples == QUICK) >= 18


def test_examples_are_accepted(start_api: Callable[..., Api]) -> None:
    """Every field that a body must have has an example, and the API takes a body made of all examples."""
    api = start_api(webhooks_key="k" * 32)
    document = api.http.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    headers = api.auth("examples", Role.ADMIN)
    values = {"name": "nightly-report", "user": "ann"}
    tried = 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if "requestBody" not in operation:
                continue
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            schema = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
            fields = schema["properties"]
            body = {name: field["examples"][0] for name, field in fields.items() if "examples" in field}
            assert set(schema.get("required", ())) <= body.keys(), (
                f"{method} {path}: a field without an example"
            )
            reply = api.http.request(method, path.format(**values), json=body, headers=headers)
            kind = reply.json()["type"].rpartition(":")[2] if reply.is_error else ""
            assert kind in BEYOND_EXAMPLES.get(path, {""}), f"{method} {path}: {reply.text}"
            tried += 1
    assert tried >= 15
