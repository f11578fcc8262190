"""Events of users who have live connections, and the backlog for clients that come back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from laneway.lanes.commands.base import Arg, Command
from laneway.lanes.events import Event, parse


class Backlog(NamedTuple):
    """What a client has missed. `newest`: the last entry, '' if nothing is kept. `complete`: `events` are all of it."""

    newest: str
    complete: bool
    events: list[Event]


@dataclass(frozen=True, slots=True)
class Watch(Command[list[bool]]):
    """Publish and keep the events of these users for `seconds` from now. False for users whose events were not kept before."""

    script: ClassVar[str] = "watch"
    users: Sequence[str]
    seconds: float

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `watch.lua`."""
        return int(self.seconds * 1000), *self.users

    def parse(self, reply: Any) -> list[bool]:
        """Read the reply of `watch.lua`."""
        return [kept == 1 for kept in reply]


@dataclass(frozen=True, slots=True)
class Replay(Command[Backlog]):
    """Read the events after the entry `after`; '' reads none."""

    script: ClassVar[str] = "replay"
    user: str
    after: str = ""

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `replay.lua`."""
        return self.user, self.after

    def parse(self, reply: Any) -> Backlog:
        """Read the reply of `replay.lua`."""
        events = [parse(entry + b" " + event) for entry, event in zip(reply[2::2], reply[3::2], strict=True)]
        return Backlog(reply[0].decode(), reply[1] == 1, events)
