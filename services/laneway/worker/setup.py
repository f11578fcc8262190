"""What several of a worker's processes make of the settings."""

from __future__ import annotations

from laneway.handlers.registry import Defaults, Registry, load
from laneway.settings import Settings


def registry_of(settings: Settings) -> Registry:
    """The handlers that the settings name."""
    return load(
        [name.strip() for name in settings.handlers.split(",")],
        defaults=Defaults(
            settings.max_attempts,
            settings.backoff_seconds,
            settings.backoff_max_seconds,
            settings.time_limit_seconds,
        ),
        options={"demo_faults": settings.demo_faults, "demo_folder": settings.demo_folder},
    )
