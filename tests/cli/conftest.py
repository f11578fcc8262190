"""The API that the command line talks to."""

from tests.api.conftest import api, log_lines, quick_hashes

__all__ = ["api", "log_lines", "quick_hashes"]
