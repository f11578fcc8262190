"""The limits of a type, as its handler declares them and as the lanes take them."""

from __future__ import annotations

from laneway.handlers import Spec
from laneway.lanes.model import TypeLimit


def limit_of(spec: Spec) -> TypeLimit:
    """Return the limits of a type."""
    if (limits := spec.limits) is None:
        return TypeLimit(spec.type)
    return TypeLimit(spec.type, limits.max_running or 0, limits.max_starts or 0, limits.period_seconds)
