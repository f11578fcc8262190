"""The names of what deliveries of webhooks run as: a lane for each webhook, and a type.

No user and no handler can have these names: a username has no colon, and `laneway.handlers.loader` refuses types that begin
with `@`.
"""

from __future__ import annotations

from typing import NamedTuple

RESERVED = "@"
"""Types that begin with it are Laneway's own."""
DELIVERY = RESERVED + "webhook"
"""The type of a delivery."""
_LANE, _TEST = "webhook:", "/test"


class DeliveryLane(NamedTuple):
    """A webhook's lane. Test deliveries have one of their own: they must not wait behind deliveries that fail."""

    user: str
    webhook_id: str
    is_test: bool = False

    @property
    def name(self) -> str:
        """What the lanes know it by, in the place of a user's name."""
        return f"{_LANE}{self.user}/{self.webhook_id}{_TEST if self.is_test else ''}"


def is_delivery_lane(name: str) -> bool:
    """Whether a lane holds deliveries, not the jobs of a user."""
    return name.startswith(_LANE)


def parse(name: str) -> DeliveryLane:
    """Return the lane with this name, of which `is_delivery_lane` is true."""
    user, _, webhook_id = name.removeprefix(_LANE).removesuffix(_TEST).partition("/")
    return DeliveryLane(user, webhook_id, name.endswith(_TEST))
