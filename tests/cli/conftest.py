"""The API that the command line talks to."""

from tests.api.conftest import api, log_lines

__all__ = ["api", "log_lines"]
