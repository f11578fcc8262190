"""The API that the clients talk to."""

from tests.api.conftest import api, quick_hashes

__all__ = ["api", "quick_hashes"]
