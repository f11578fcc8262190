"""Who is connected. `laneway.presence` says what it means and sends these."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from laneway.lanes.commands.base import Arg, Command


class Connection(NamedTuple):
    """A live connection. `connection_id` is `<token id>:<any text>`, so that a log-out finds the connections of its token."""

    user: str
    connection_id: str


class Disconnection(NamedTuple):
    """A user who has disconnected. It applies to jobs accepted up to `until_us`, microseconds since 2020."""

    user: str
    until_us: int


class UserPresence(NamedTuple):
    """Whether a user has a live connection, and Redis's time in microseconds since 2020."""

    connected: bool
    now_us: int


@dataclass(frozen=True, slots=True)
class PresenceHeartbeat(Command[None]):
    """Renew connections, new ones included, and record that an API process lives. A revoked token's are not renewed."""

    script: ClassVar[str] = "presence_heartbeat"
    connections: Sequence[Connection]
    live_seconds: float
    """How long a connection counts without a renewal."""
    outage_seconds: float
    """A gap this long without a heartbeat of any API process is an outage."""

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `presence_heartbeat.lua`."""
        yield int(self.live_seconds * 1000)
        yield int(self.outage_seconds * 1000)
        for connection in self.connections:
            yield from connection

    def parse(self, reply: Any) -> None:
        """Read the reply of `presence_heartbeat.lua`."""
        del reply


@dataclass(frozen=True, slots=True)
class PresenceDisconnect(Command[None]):
    """Remove connections that were closed. The grace times of their users begin."""

    script: ClassVar[str] = "presence_disconnect"
    connections: Sequence[Connection]

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `presence_disconnect.lua`."""
        for connection in self.connections:
            yield from connection

    def parse(self, reply: Any) -> None:
        """Read the reply of `presence_disconnect.lua`."""
        del reply


@dataclass(frozen=True, slots=True)
class PresenceLogout(Command[None]):
    """Remove the connections of a token. Without another one the user has disconnected now."""

    script: ClassVar[str] = "presence_logout"
    user: str
    token_id: str

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `presence_logout.lua`."""
        return self.user, self.token_id

    def parse(self, reply: Any) -> None:
        """Read the reply of `presence_logout.lua`."""
        del reply


@dataclass(frozen=True, slots=True)
class PresenceInspect(Command[UserPresence]):
    """Read whether a user is connected."""

    script: ClassVar[str] = "presence_inspect"
    user: str

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `presence_inspect.lua`."""
        return (self.user,)

    def parse(self, reply: Any) -> UserPresence:
        """Read the reply of `presence_inspect.lua`."""
        return UserPresence(reply[0] == 1, int(reply[1]))


@dataclass(frozen=True, slots=True)
class PresenceSweep(Command[list[Disconnection]]):
    """Move users who have disconnected to `departed` and return up to `limit` of those, the longest departed first."""

    script: ClassVar[str] = "presence_sweep"
    grace_seconds: float
    limit: int

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `presence_sweep.lua`."""
        return int(self.grace_seconds * 1000), self.limit

    def parse(self, reply: Any) -> list[Disconnection]:
        """Read the reply of `presence_sweep.lua`."""
        return [
            Disconnection(user.decode(), int(until_us))
            for user, until_us in zip(reply[::2], reply[1::2], strict=True)
        ]


@dataclass(frozen=True, slots=True)
class PresenceForget(Command[bool]):
    """Forget a disconnected user whose lane was dealt with. False if the user has disconnected once more since."""

    script: ClassVar[str] = "presence_forget"
    disconnection: Disconnection

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `presence_forget.lua`."""
        return self.disconnection

    def parse(self, reply: Any) -> bool:
        """Read the reply of `presence_forget.lua`."""
        return bool(reply == 1)
