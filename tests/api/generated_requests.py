"""Requests that schemathesis generates, and what is checked in their answers.

A module of its own: its import takes half a second, and each process of `make test` collects every module of tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    ignored_auth,
    missing_required_header,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from laneway.storage.users import Role
from tests.api.running import Api

CHECKS: list[Callable[..., Any]] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
PROBES: list[Callable[..., Any]] = [
    ignored_auth,
    missing_required_header,
    unsupported_method,
    allow_header_conformance,
]
"""These send requests of their own, which depend little on the generated ones."""


def try_all(api: Api, mode_: str, examples: int, *, with_probes: bool) -> int:
    """Try all operations out. Returns how many of them have requests of this kind."""
    mode = GenerationMode(mode_)
    schema = schemathesis.openapi.from_url(f"{api.url}/openapi.json")
    checks = list(CHECKS)
    if mode is GenerationMode.NEGATIVE:
        checks.append(negative_data_rejection)
    if with_probes:
        checks += PROBES
    schema.config.generation.update(allow_extra_parameters=False)  # they are ignored
    seen = set()
    for found in schema.get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]
        try:
            strategy = operation.as_strategy(mode)
            try_out(strategy, api, examples, checks)
        except Unsatisfiable:  # it has no input that could be wrong
            assert mode is GenerationMode.NEGATIVE, operation.label
            continue
        seen.add(operation.label)
    return len(seen)


def try_out(strategy: Any, api: Api, examples: int, checks: list[Callable[..., Any]]) -> None:
    headers = {"Authorization": api.auth("schema-tests", Role.ADMIN)["authorization"]}

    @given(case=strategy)
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    def answers(case: schemathesis.Case[Any]) -> None:
        live = case.path in (
            "/api/events",
            "/api/connect",
        )  # a stream has no end, so it is requested without a valid token
        case.call_and_validate(headers=None if live else headers, checks=checks, timeout=10)

    answers()
