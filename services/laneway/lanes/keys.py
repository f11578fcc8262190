"""Every key name, and which shard a user's lane is on.

The scripts derive the same names from the prefix (the catalogue with types and meanings is in `scripts/_lane.lua`); this
module has those that Python touches itself. The layout's version stands in the prefix, because a rolling deploy runs
old and new scripts side by side: a change of layout is a new version and a migration.
"""

from __future__ import annotations

from dataclasses import dataclass

LAYOUT = 1
TURN_PLACEHOLDER = "@turn-id-placeholder-------------@"


def shard(_user: str) -> int:
    """The shard of a user's lane. Today there is one; everything that addresses a lane asks here."""
    return 0


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one shard. The hash tag keeps a shard's keys together on a clustered server."""

    name: str
    shard: int = 0

    @property
    def prefix(self) -> str:
        return f"{{{self.name}:{self.shard}}}:{LAYOUT}:"

    @property
    def ring(self) -> str:
        return self.prefix + "ring"

    @property
    def lanes(self) -> str:
        return self.prefix + "lanes"

    @property
    def leases(self) -> str:
        return self.prefix + "leases"

    @property
    def retries(self) -> str:
        return self.prefix + "retries"

    @property
    def outbox(self) -> str:
        return self.prefix + "outbox"

    @property
    def turns(self) -> str:
        return self.prefix + "turns"

    @property
    def turn(self) -> str:
        return self.prefix + "turn"

    @property
    def wakeups(self) -> str:
        return self.prefix + "wakeups"

    def job(self, job_id: str) -> str:
        """What is known of a job that has started and not ended: `state`, `worker`, `started_us`."""
        return f"{self.prefix}job:{job_id}"

    def events(self, user: str) -> str:
        return f"{self.prefix}events:{user}"

    def revoked(self, token_id: str) -> str:
        return f"{self.prefix}revoked:{token_id}"
