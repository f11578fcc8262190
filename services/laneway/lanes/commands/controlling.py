"""What users and administrators do to lanes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from laneway.lanes.commands.base import Arg, Command, UserCommand


@dataclass(frozen=True, slots=True)
class Cancel(Command[str]):
    """Cancel one of the user's jobs: `cancelled`, `stopping` (it runs and was asked to stop), `ended`, or `unknown`.

    Or `running`: it runs, and `stop_running` is false.
    """

    script: ClassVar[str] = "cancel"
    user: str
    job_id: str
    reason: str = "cancelled by the user"
    stop_running: bool = True

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `cancel.lua`."""
        return self.user, self.job_id, self.reason, int(self.stop_running)

    def parse(self, reply: Any) -> str:
        """Read the reply of `cancel.lua`."""
        return str(reply.decode())


@dataclass(frozen=True, slots=True)
class Purge(Command[tuple[list[str], bool]]):
    """Cancel jobs of the lane that do not run and entered it up to `until_us`. Return their ids, and whether more may be left.

    A claimed job that may be about to start is asked to stop, and is not among the ids. `lanes.purge` repeats it until
    nothing is left.
    """

    script: ClassVar[str] = "purge"
    user: str
    until_us: int
    reason: str
    limit: int = 500

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `purge.lua`."""
        return self.user, self.until_us, self.reason, self.limit

    def parse(self, reply: Any) -> tuple[list[str], bool]:
        """Read the reply of `purge.lua`."""
        return [i.decode() for i in reply[:-1]], reply[-1] == 1


@dataclass(frozen=True, slots=True)
class PurgeDelayed(Command[tuple[list[str], int]]):
    """Cancel the user's delayed jobs that were accepted up to `until_us`. Return their ids, and `after` of the next piece.

    `after` is 0 when nothing is left. `lanes.purge` repeats it until then.
    """

    script: ClassVar[str] = "purge_delayed"
    user: str
    until_us: int
    reason: str
    limit: int = 500
    after: int = 0

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `purge_delayed.lua`."""
        return self.user, self.until_us, self.reason, self.limit, self.after

    def parse(self, reply: Any) -> tuple[list[str], int]:
        """Read the reply of `purge_delayed.lua`."""
        return [i.decode() for i in reply[:-1]], reply[-1]


@dataclass(frozen=True, slots=True)
class Pause(UserCommand):
    """Start nothing more of the user's lane. False if it was paused already."""

    script: ClassVar[str] = "pause"
    user: str


@dataclass(frozen=True, slots=True)
class Resume(UserCommand):
    """Let a paused lane go on. False if it was not paused."""

    script: ClassVar[str] = "resume"
    user: str


@dataclass(frozen=True, slots=True)
class Limit(Command[None]):
    """Set the slots of a user's lane (None: use the default again), or the default with user `*`."""

    script: ClassVar[str] = "limit"
    user: str
    slots: int | None

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `limit.lua`."""
        return self.user, "" if self.slots is None else self.slots

    def parse(self, reply: Any) -> None:
        """Read the reply of `limit.lua`."""
        del reply
