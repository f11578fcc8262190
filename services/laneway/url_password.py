"""A server's password, given apart from its URL: passwords of managed servers contain characters that a URL must escape."""

from __future__ import annotations

from urllib.parse import quote


def with_password(url: str, password: str) -> str:
    """Return the URL with the password, percent-encoded. Raises ValueError if the URL has a password already."""
    scheme, separator, rest = url.partition("://")
    authority = rest[: min((rest.find(end) for end in "/?#" if end in rest), default=len(rest))]
    user, _, hosts = authority.rpartition("@")
    if ":" in user:
        raise ValueError("has a password, and so has the setting of its own; set one of them")
    return f"{scheme}{separator}{user}:{quote(password, safe='')}@{hosts}{rest[len(authority) :]}"
