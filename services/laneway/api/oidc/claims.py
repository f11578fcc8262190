"""What the claims of a token mean here: the user's name, and whether the user is an administrator."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from laneway.api.problem import Problem
from laneway.storage.users import USERNAME, Role, canonical

_UNFIT = re.compile(r"[^a-z0-9._-]")


@dataclass(frozen=True, slots=True)
class Meaning:
    """Which claims are read. A claim within others is named with dots: `realm_access.roles`."""

    user_claim: str
    user_prefix: str
    admin_claim: str
    admin_value: str
    reserved: frozenset[str]
    """Names that nobody gets."""

    def username(self, claims: Mapping[str, Any]) -> str:
        """Return the name for a new user. Characters that no username has become hyphens. Raises Problem."""
        value = _value(claims, self.user_claim)
        if not isinstance(value, str) or not value:
            raise not_a_user(
                f"the token has no claim '{self.user_claim}' with a text, which would be the username"
            )
        name = self.user_prefix + _UNFIT.sub("-", canonical(value))
        if not USERNAME.fullmatch(name):
            raise not_a_user(
                f"the claim '{self.user_claim}' gives no username: with its prefix it must have 3 to 64 characters "
                "and begin with a letter or a digit"
            )
        if name in self.reserved:
            raise not_a_user(f"the username '{name}' is reserved")
        return name

    def role(self, claims: Mapping[str, Any]) -> Role | None:
        """Return the role that the issuer gives; None if roles are given here."""
        if not self.admin_claim:
            return None
        value = _value(claims, self.admin_claim)
        values = value if isinstance(value, list) else [value]
        texts = ["true" if item is True else item for item in values]
        return Role.ADMIN if self.admin_value in texts else Role.USER


def not_a_user(detail: str) -> Problem:
    """The problem for somebody whom the issuer knows and who is no user here."""
    return Problem(403, "not-a-user", detail)


def _value(claims: Mapping[str, Any], name: str) -> Any:
    """Return a claim. Its name may itself have dots, as an address has; None if there is none."""
    if name in claims:
        return claims[name]
    value: Any = claims
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
