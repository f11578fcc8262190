"""The API that the clients talk to."""

from tests.api.conftest import api, quick_hashes, start_api

__all__ = ["api", "quick_hashes", "start_api"]
