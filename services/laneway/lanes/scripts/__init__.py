"""The Lua scripts: one file a command, assembled from its body and the shared files that its header includes.

`-- include: bands, ring` in a header names the files `_bands.lua` and `_ring.lua`. A script includes what it uses and nothing
else, since Redis runs the whole text at every call: a definition that a script does not need costs it time.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_COMMAND = re.compile(r"redis\.(?:call|pcall(?!\('(?:PUBLISH|XADD)))\('([A-Z]+)'")
"""A command that a script cannot do without. Events are sent by `pcall`: a job matters more than its events."""
_SHARED_KEY = re.compile(r"(?<!'EXISTS', )P \.\. '(\w+)'")
_CATALOGUE = re.compile(r"^--   P (\w+) +(ZSET|HASH|LIST|STRING)", re.MULTILINE)
_SIZE = {"ZSET": "ZCARD", "HASH": "HLEN", "LIST": "LLEN", "STRING": "STRLEN"}
"""Commands that cost next to nothing and are refused if a key has another type."""
_MENDS_TYPES = "check_shared"
_TOLERANT = {"_ring", "_turns", "_limits", "_ticks", "_delaying", "_undelaying", "_admission"}
"""Files that need no check here: they read each shared key before they write it, or ignore a WRONGTYPE error."""
_INCLUDE = re.compile(r"^-- include: (.+)$", re.MULTILINE)
_BEFORE_CHANGES = re.compile(r"^-- before changes: (.+)$", re.MULTILINE)
_COMMENT = re.compile(r"--.*")
_FUNCTION = re.compile(r"^local function (\w+)\([^)]*\)(?: [^\n]* end|\n.*?^end)\n", re.MULTILINE | re.DOTALL)
"""A function of a file, on one line or up to the first `end` at the margin."""


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
    parts = _without_unused({part: _read(part) for part in _closure(name)} | {name: body})
    checks = []
    if "no-writes" not in shebang:
        if name != _MENDS_TYPES:
            untested = [text for part, text in parts.items() if part not in _TOLERANT]
            checks = [_types_check(untested, before_changes(name))]
        called_first = {"TIME", *before_changes(name), *_COMMAND.findall("".join(checks))}
        checks.insert(0, _rights_check("\n".join(parts.values()), called_first))
    text = "\n".join([shebang, *checks, *parts.values()])
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def preload() -> None:
    """Read all scripts now: a process that is forked later may find no file, or have no descriptor to read it."""
    for file in files(__package__).iterdir():
        if file.name.endswith(".lua") and not file.name.startswith("_"):
            load(file.name.removesuffix(".lua"))


def all_commands() -> list[str]:
    """Return every command that a script uses and cannot do without."""
    texts = [file.read_text("utf-8") for file in files(__package__).iterdir() if file.name.endswith(".lua")]
    return sorted(set(_COMMAND.findall("\n".join(texts))))


def before_changes(name: str) -> set[str]:
    """Return the commands and shared keys that a script's header lists under `before changes`: `{"GET", "outbox"}`.

    Whenever a call uses one of them at all, it first does so before its first change. If Redis refuses it, nothing has changed,
    so the loader adds no check.
    """
    declared = _BEFORE_CHANGES.search(_read(name))
    return set(declared[1].split(", ")) if declared else set()


def _rights_check(text: str, allowed: set[str]) -> str:
    """Lua that refuses the script as a whole if the ACL refuses one of its commands, apart from those in `allowed`.

    Otherwise the refused command would end the script after it has changed something. (The prefix stands for every key: one
    pattern of the ACL must cover them all.)
    """
    names = sorted(set(_COMMAND.findall(text)) - allowed)
    if not names:
        return ""
    allows = " and ".join(f"allows('{name}', KEYS[1])" for name in names)
    return (
        "local allows = redis.acl_check_cmd\n"
        f"if not ({allows}) then\n"
        f"  for command in string.gmatch('{' '.join(names)}', '%a+') do\n"
        "    if not allows(command, KEYS[1]) then\n"
        "      return redis.error_reply('NOPERM the ACL must allow ' .. command .. ' on ' .. KEYS[1] .. '*')\n"
        "    end\n"
        "  end\n"
        "end\n"
    )


def _without_unused(parts: dict[str, str]) -> dict[str, str]:
    """Leave out the functions that nothing calls: Redis would make them at each call of the script."""
    words = Counter(re.findall(r"\w+", _COMMENT.sub("", "\n".join(parts.values()))))

    def shorter(function: re.Match[str]) -> str:
        return function[0] if words[function[1]] > 1 else ""

    left = {part: _FUNCTION.sub(shorter, text) for part, text in parts.items()}
    return parts if left == parts else _without_unused(left)


def _types_check(parts: list[str], read: set[str]) -> str:
    """Lua that ends the script if a key that all lanes share holds a value of another type, before anything has changed.

    The scripts themselves do so for the keys of lanes and jobs, and for those in `read`.
    """
    types = dict(_CATALOGUE.findall(_read("_keys")))
    used = sorted({key for part in parts for key in _SHARED_KEY.findall(part)} - read)
    return "".join(f"redis.call('{_SIZE[types[key]]}', KEYS[1] .. '{key}')\n" for key in used)


def includes(name: str) -> list[str]:
    """Return the files that the header of a script, or of a shared file, includes: `["_bands", "_ring"]`."""
    declared = _INCLUDE.search(_read(name))
    return [f"_{word.strip()}" for word in declared[1].split(",")] if declared else []


@cache
def _closure(name: str) -> tuple[str, ...]:
    """Everything that a file needs, each once, before the files that need it."""
    needed: dict[str, None] = {}
    for included in includes(name):
        needed |= dict.fromkeys([*_closure(included), included])
    return tuple(needed)


@cache
def _read(name: str) -> str:
    return (files(__package__) / f"{name}.lua").read_text("utf-8")
