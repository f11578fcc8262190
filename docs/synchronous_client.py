"""Writes `laneway.client.synchronous` from `laneway.client.asynchronous`: python docs/synchronous_client.py [--check].

`--check` writes nothing and ends with 1 if a module is not the one it would write.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

CLIENT = Path(__file__).parents[1] / "services" / "laneway" / "client"
MODULES = ("admin", "client", "connection", "job", "operation", "stream")
REPLACEMENTS = (
    (r"\bawait ", ""),
    (r"\basync (def|for|with) ", r"\1 "),
    (r"\bAsync(Admin|Client|Connection|Generator|Iterator|Job|Operation)\b", r"\1"),
    (r"\basynccontextmanager\b", "contextmanager"),
    (r"__a(enter|exit)__", r"__\1__"),
    (r"\ba(close|read)\(", r"\1("),
    (r"\basyncio\b", "time"),
    (r"laneway\.client\.asynchronous\b", "laneway.client.synchronous"),
)


def written() -> dict[Path, str]:
    """Return the text of each module of the synchronous client."""
    return {CLIENT / "synchronous" / f"{name}.py": _module(name) for name in MODULES}


def _module(name: str) -> str:
    text = _without_needless_parentheses((CLIENT / "asynchronous" / f"{name}.py").read_text("utf-8"))
    for pattern, replacement in REPLACEMENTS:
        text = re.sub(pattern, replacement, text)
    note = f"# Written by docs/synchronous_client.py: change asynchronous/{name}.py instead.\n"
    path = str(CLIENT / "synchronous" / f"{name}.py")
    # Imports in order and each once; `yield from` instead of a loop, which an async generator must have.
    fixes = ["check", "--quiet", "--fix", "--unsafe-fixes", "--select", "I,UP028"]
    for arguments in (fixes, ["format", "--quiet"]):
        command = [sys.executable, "-m", "ruff", *arguments, "--stdin-filename", path, "-"]
        text = subprocess.run(command, input=text, text=True, capture_output=True, check=True).stdout
    return note + text


def _without_needless_parentheses(text: str) -> str:
    """Change `(await x).y` into `x.y`."""
    while (start := text.find("(await ")) >= 0:
        depth, end = 1, start + 1
        while depth:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        inner = text[start + 1 : end - 1].removeprefix("await ")
        text = text[:start] + (inner if text[end] == "." else f"({inner})") + text[end:]
    return text


def main() -> int:
    """Write the modules, or compare them."""
    if "--check" in sys.argv:
        return int(any(path.read_text("utf-8") != text for path, text in written().items()))
    for path, text in written().items():
        path.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
