"""Finding damage in Redis and mending it, and finding out what Redis refuses. `checker` and `health` send these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from laneway.lanes.commands.base import Arg, Command

Damage = Mapping[str, int]
"""Kinds of damage, and how often each was mended. The scripts' headers name the kinds."""


def _decode_damage(flat: Sequence[Any]) -> Damage:
    return {kind.decode(): times for kind, times in zip(flat[::2], flat[1::2], strict=True)}


@dataclass(frozen=True, slots=True)
class CheckLanes(Command[tuple[str, Damage]]):
    """Check a slice of the lanes and the front of the ring, and mend them.

    Return the user after whom the next slice begins (empty after the last lane), and the damage.
    """

    script: ClassVar[str] = "check_lanes"
    after_user: str = ""
    max_lanes: int = 30

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `check_lanes.lua`."""
        return self.after_user, self.max_lanes

    def parse(self, reply: Any) -> tuple[str, Damage]:
        """Read the reply of `check_lanes.lua`."""
        return reply[0].decode(), _decode_damage(reply[1])


@dataclass(frozen=True, slots=True)
class CheckShared(Command[tuple[int, Damage, float]]):
    """Check the keys that all lanes share, with a slice of the leases and of the retries, and mend them.

    Return the rank at which the next slice begins (0 after the last one), the damage, and for how many seconds the ring has had
    work that nobody serves.
    """

    script: ClassVar[str] = "check_shared"
    rank: int = 0
    max_leases: int = 50

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `check_shared.lua`."""
        return self.rank, self.max_leases

    def parse(self, reply: Any) -> tuple[int, Damage, float]:
        """Read the reply of `check_shared.lua`."""
        return reply[0], _decode_damage(reply[1]), reply[2] / 1000


@dataclass(frozen=True, slots=True)
class CheckKeys(Command[Damage]):
    """Check keys by name, without the prefix, and mend them. Return the damage."""

    script: ClassVar[str] = "check_keys"
    names: Sequence[str]

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `check_keys.lua`."""
        return self.names

    def parse(self, reply: Any) -> Damage:
        """Read the reply of `check_keys.lua`."""
        return _decode_damage(reply)


@dataclass(frozen=True, slots=True)
class Probe(Command[list[str]]):
    """Find out, without a write, which of these commands the ACL refuses. `PUBLISH` among them: there are no live events."""

    script: ClassVar[str] = "probe"
    names: Sequence[str]

    def args(self) -> Iterable[Arg]:
        """Return ARGV, in the script's order."""
        return self.names

    def parse(self, reply: Any) -> list[str]:
        """Return the refused commands."""
        return [name.decode() for name in reply]
