"""Self-healing: holds what the lanes promise against what Redis holds, a slice at a time, and mends what is damaged.

Redis can lose keys (an eviction policy, a restart without persistence, a slip of an administrator), and others can overwrite
them. Every promise of the lanes is about keys that agree with each other, so damage can be found and mended from what is left:

- `check_shared.lua` checks the keys that all lanes share, and walks over the leases and the retries.
- `check_lanes.lua` walks over the lanes. Each time it also checks the front of the ring, since a lane there that cannot be served
  holds everybody up.
- `check_keys.lua` gets every key of ours from a walk over all keys. It finds jobs and lanes that no other key names any more.

What cannot be mended is a request that is gone. Such a job ends once, as failed, with the reason `lost`.

The cost of a slice is bounded (docs/operations.md has the figures). A walk over all lanes, or all keys, takes as many slices as
it needs.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import NoPermissionError, RedisError

from laneway.lanes.commands import CheckKeys, CheckLanes, CheckShared, Damage
from laneway.lanes.errors import StoreUnavailable
from laneway.lanes.store import Lanes

KEYS_PER_SLICE = 100
"""Keys that one SCAN looks at, whosever they are."""
_KINDS = (
    "lane:",
    "spec:",
    "job:",
    "ended:",
    "idem:",
    "rate:",
    "connections:",
    "delayed:",
    "later:",
    "unique:",
    "permits:",
    "waiting:",
    "starts:",
    "lines:",
    "backlog:",
    "report:",
    "reports:",
)


@dataclass(slots=True)
class Checker:
    """Checks the lanes, one slice a call. Any number of checkers may work at once."""

    lanes: Lanes
    mended: Counter[str] = field(default_factory=Counter)
    """How often each kind of damage was mended so far."""
    unserved_seconds: float = 0
    """For how long the ring has had work while no job was in flight: nobody serves it."""
    _after_user: str = ""
    _rank: int = 0
    _cursor: int = 0

    def check_slice(self) -> Damage:
        """Check the next slice. Return how often each kind of damage was mended. Raises StoreUnavailable."""
        mended = Counter[str]()
        try:
            self._rank, mended_shared, self.unserved_seconds = self.lanes.run(CheckShared(self._rank))
            mended.update(mended_shared)
            if names := self._next_names():  # before the lanes: such a key may be what ends their check
                mended.update(self.lanes.run(CheckKeys(names)))
            self._after_user, mended_lanes = self.lanes.run(CheckLanes(self._after_user))
            mended.update(mended_lanes)
        finally:
            self.mended.update(mended)
        return mended

    def _next_names(self) -> list[str]:
        """Return the next keys of ours, without the prefix. Without the right to SCAN there are none."""
        prefix = self.lanes.keys.prefix
        pattern = prefix.replace("{", "\\{") + "*"
        client: Any = self.lanes.client
        try:
            self._cursor, keys = client.scan(self._cursor, match=pattern, count=KEYS_PER_SLICE)
        except NoPermissionError:
            return []
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error
        names = [key.decode("utf-8", "surrogateescape")[len(prefix) :] for key in keys]
        return [name for name in names if name.startswith(_KINDS)]
