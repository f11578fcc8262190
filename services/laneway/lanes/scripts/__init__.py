"""The Lua scripts, each with the shared prelude put behind its `#!lua` line."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Script:
    name: str
    text: str
    sha: str


@cache
def load(name: str) -> Script:
    """The script `<name>.lua`, ready to be sent. EVALSHA is addressed by content, so old and new pods cannot mix them up."""
    folder = files(__package__)
    shebang, body = (folder / f"{name}.lua").read_text("utf-8").split("\n", 1)
    text = f"{shebang}\n{(folder / '_lane.lua').read_text('utf-8')}{body}"
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
