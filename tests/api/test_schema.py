"""The OpenAPI document against the API: every answer to generated requests, good and bad, must be documented."""

from __future__ import annotations

import pytest

from tests.api.running import Api

QUICK, THOROUGH = 3, 20
"""Requests to each operation."""


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

    assert generated_requests.try_all(api, mode, examples) >= 18
