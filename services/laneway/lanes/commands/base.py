"""What every command is: one call of one script, with its arguments packed and its reply parsed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Generic, TypeVar

T = TypeVar("T")
Arg = str | bytes | int | float


class Command(Generic[T]):
    """One call of one script, with a result of type `T`."""

    script: ClassVar[str]
    """The name of the file in `scripts/`, without `.lua`."""

    def args(self) -> Iterable[Arg]:
        """Return ARGV, in the script's order."""
        raise NotImplementedError

    def parse(self, reply: Any) -> T:
        """Return the result that a reply means. Raises the `LaneError` that a refusing status stands for."""
        raise NotImplementedError


class UserCommand(Command[bool]):
    """A command that takes a user and answers whether it changed something."""

    __slots__ = ()
    user: str

    def args(self) -> Iterable[Arg]:
        """Return the user, the only argument."""
        return (self.user,)

    def parse(self, reply: Any) -> bool:
        """Read the reply: 1 if something changed."""
        return bool(reply == 1)
