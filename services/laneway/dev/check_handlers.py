"""Checks in a process of its own whether the handlers can be used: python -m laneway.dev.check_handlers.

Exits with 2 and the reason, as API and worker would.
"""

from __future__ import annotations

from laneway.handlers.loader import load_configured
from laneway.settings import load

if __name__ == "__main__":
    load_configured(load())
