"""The password in the URL of a server: given apart from it, because a URL must escape characters, and left out where people read."""

from __future__ import annotations

import re
from urllib.parse import quote


def with_password(url: str, password: str) -> str:
    """Return the URL with the password, percent-encoded. Raises ValueError if the URL has a password already."""
    scheme, separator, rest = url.partition("://")
    authority = rest[: min((rest.find(end) for end in "/?#" if end in rest), default=len(rest))]
    user, _, hosts = authority.rpartition("@")
    if ":" in user:
        raise ValueError("has a password, and so has the setting of its own; set one of them")
    return f"{scheme}{separator}{user}:{quote(password, safe='')}@{hosts}{rest[len(authority) :]}"


def without_secrets(url: str) -> str:
    """Return scheme, hosts and path of a URL, to show them to people. A URL that is not well-formed loses all but its scheme."""
    scheme, separator, rest = url.partition("://")
    parts = re.fullmatch(r"(?P<login>[^@/?#]*@)?(?P<address>[^@/?#]*(/[^@?#]*)?)([?#].*)?", rest)
    if parts is None or (parts["login"] is None and "@" in rest):  # a password that is not escaped
        return f"{scheme}{separator}..."
    return f"{scheme}{separator}{parts['address']}"
