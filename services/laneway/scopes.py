"""What API keys may do. Server and command line take the names from here."""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    """What a key may do for its user. What the user may not do, no key of the user may."""

    ENQUEUE = "enqueue"
    READ = "read"
    WRITE = "write"
    KEYS = "keys"
    ADMIN = "admin"
