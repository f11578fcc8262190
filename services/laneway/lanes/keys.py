"""The key names that Python uses. The scripts derive the same names from the prefix (the catalogue is in `scripts/_keys.lua`).

Two things stand in the prefix. The layout's version, because a rolling deploy runs old and new scripts side by side: a change
of layout is a new version and a migration. And a shard's number in a hash tag, which keeps the keys of a shard together on a
clustered server. Today there is one shard: a second one would be a second `Keys` with its own server, chosen by whoever makes
`Lanes`, so no function here asks which shard a user is on.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

LAYOUT = 1
TURN_PLACEHOLDER = "@turn-id-placeholder-------------@"
"""Stands in the turn message for its id, which is a tick of Redis's clock with as many characters."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one shard. `name`: the part of the prefix that a deployment chooses."""

    name: str
    shard: int = 0

    @property
    def prefix(self) -> str:
        """What every key begins with: `{laneway:0}:1:`."""
        return f"{{{self.name}:{self.shard}}}:{LAYOUT}:"

    @property
    def ring(self) -> str:
        """Lanes that have a job ready and a free slot."""
        return self.prefix + "ring"

    @property
    def lanes(self) -> str:
        """Lanes that exist."""
        return self.prefix + "lanes"

    @property
    def leases(self) -> str:
        """Leases with their deadlines."""
        return self.prefix + "leases"

    @property
    def retries(self) -> str:
        """Jobs that wait for their next attempt."""
        return self.prefix + "retries"

    @property
    def delayed(self) -> str:
        """Delayed jobs that have not entered their lanes."""
        return self.prefix + "delayed"

    @property
    def outbox(self) -> str:
        """Ended jobs that MongoDB does not have yet."""
        return self.prefix + "outbox"

    @property
    def turns(self) -> str:
        """The list of turn messages: Celery's queue."""
        return self.prefix + "turns"

    @property
    def turn(self) -> str:
        """The turn message that scripts push copies of."""
        return self.prefix + "turn"

    @property
    def wakeups(self) -> str:
        """The list on which processes that stand by wait."""
        return self.prefix + "wakeups"

    def wakeups_of(self, process: str) -> str:
        """The list on which one process waits beside `wakeups`. It pushes to it to end its own wait."""
        return f"{self.wakeups}:{process}"

    def job(self, job_id: str) -> str:
        """The hash of a job between its first start and its end: `state`, `worker`, `started_us` and more."""
        return f"{self.prefix}job:{job_id}"

    def events(self, user: str) -> str:
        """The channel of a user's job events."""
        return f"{self.prefix}events:{user}"

    def revoked(self, token_id: str) -> str:
        """The key that exists while a token is revoked and has not expired."""
        return f"{self.prefix}revoked:{token_id}"

    def log_in_code(self, code: str) -> str:
        """The key that exists while the code of a log-in link is valid; it holds the user's name. The code is not in it."""
        return f"{self.prefix}code:{hashlib.sha256(code.encode()).hexdigest()}"
