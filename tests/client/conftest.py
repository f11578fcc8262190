"""The API that the clients talk to."""

from tests.api.conftest import api

__all__ = ["api"]
