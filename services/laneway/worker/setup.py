"""What several of a worker's processes make of the settings."""

from __future__ import annotations

from laneway.handlers.loader import load_configured
from laneway.handlers.registry import Registry
from laneway.settings import Settings


def registry_of(settings: Settings) -> Registry:
    """Load the handlers that the settings name. Exits with status 2 when one of the modules cannot be used."""
    return load_configured(settings)
