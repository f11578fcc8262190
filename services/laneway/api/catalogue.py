"""The types that can be enqueued, described once for `GET /api/types`."""

from __future__ import annotations

from collections.abc import Mapping

from laneway.api.schemas import TypeList, TypeReply
from laneway.handlers import Spec


def catalogue(types: Mapping[str, Spec], *, request_max_bytes: int, result_max_bytes: int) -> TypeList:
    """Describe all types, in the order of their names."""
    limits = {"request_max_bytes": request_max_bytes, "result_max_bytes": result_max_bytes}
    return TypeList(types=[_reply(types[name], limits) for name in sorted(types)])


def _reply(spec: Spec, limits: Mapping[str, int]) -> TypeReply:
    return TypeReply(
        name=spec.type,
        description=spec.description,
        request=spec.takes.json_schema if spec.takes else {},
        result=spec.gives.json_schema if spec.gives else {},
        max_attempts=spec.max_attempts,
        soft_time_limit_seconds=spec.soft_seconds,
        time_limit_seconds=spec.hard_seconds,
        max_running=spec.limits.max_running if spec.limits else None,
        rate=spec.limits.rate if spec.limits else None,
        **limits,
    )
