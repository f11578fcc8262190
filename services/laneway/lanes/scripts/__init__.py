"""The Lua scripts: one file a command, assembled from its body and the shared files that its header includes.

`-- include: bands, ring` in a header names the files `_bands.lua` and `_ring.lua`. A script includes what it uses and nothing
else, since Redis runs the whole text at every call: a definition that a script does not need costs it time.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_INCLUDE = re.compile(r"^-- include: (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """A script ready to be sent. EVALSHA addresses it by content, so old and new pods cannot mix up theirs."""

    name: str
    text: str
    sha: str


@cache
def load(name: str) -> Script:
    """Return the script of the command `name`, with what it includes behind its `#!lua` line."""
    shebang, body = _read(name).split("\n", 1)
    text = "\n".join([shebang, *map(_read, _closure(name)), body])
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def includes(name: str) -> list[str]:
    """Return the files that the header of a script, or of a shared file, includes: `["_bands", "_ring"]`."""
    declared = _INCLUDE.search(_read(name))
    return [f"_{word.strip()}" for word in declared[1].split(",")] if declared else []


def _closure(name: str) -> list[str]:
    """Everything that a file needs, each once, before the files that need it."""
    needed: dict[str, None] = {}
    for included in includes(name):
        needed |= dict.fromkeys([*_closure(included), included])
    return list(needed)


def _read(name: str) -> str:
    return (files(__package__) / f"{name}.lua").read_text("utf-8")
