"""What an install of Laneway costs: packages and megabytes of each extra; how long `from laneway import Client` takes, and how
many modules it imports.

    python -m bench.install

Sizes are those of the packages in this environment, without compiled files. Times are processor time, the least of many fresh
processes, so that other work on the machine counts little. What asyncio takes is a part of the client's. The number of modules
is the same on a busy machine: a test holds it (tests/client/test_import.py).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

RUNS = 15
IMPORTS = ("asyncio", "httpx2", "laneway.client", "laneway.handlers", "laneway.cli")
_MODULES = "import sys; before = set(sys.modules); import {}; print(*sorted(set(sys.modules) - before))"
_PROGRAM = "import time; before = time.process_time(); import {}; print(time.process_time() - before)"


def distributions(name: str, extras: Iterable[str] = ()) -> dict[str, Distribution]:
    """Return what an install of the package brings, itself apart, by name: what it requires, and what that requires."""
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(name, extra) for extra in ("", *extras)]
    while waiting:
        asked = waiting.pop()
        if asked in seen:
            continue
        seen.add(asked)
        package, extra = asked
        try:
            found[canonicalize_name(package)] = distribution(package)
        except PackageNotFoundError:
            continue  # for another platform or Python
        for line in distribution(package).requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                waiting += [(requirement.name, wanted) for wanted in ("", *requirement.extras)]
    found.pop(canonicalize_name(name), None)
    return found


def files_of(found: dict[str, Distribution]) -> set[str]:
    """Return the files and folders of these packages beside one another in site-packages."""
    return {path.parts[0] for one in found.values() for path in one.files or () if path.parts[0] != ".."}


def megabytes(found: dict[str, Distribution]) -> float:
    """Return the size of these packages."""
    size = 0
    for one in found.values():
        for path in one.files or ():
            file = Path(str(path.locate()))
            if "__pycache__" not in path.parts and file.is_file():
                size += file.stat().st_size
    return size / 1e6


def imported(name: str) -> list[str]:
    """Return the modules that a fresh process imports for this, beside those of every process."""
    command = [sys.executable, "-c", _MODULES.format(name)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def import_ms(name: str) -> float:
    """Return the least processor time that a fresh process takes to import this."""
    command = [sys.executable, "-c", _PROGRAM.format(name)]
    runs = [subprocess.run(command, check=True, capture_output=True, text=True).stdout for _ in range(RUNS)]
    return min(float(text) for text in runs) * 1000


def main() -> None:
    for extra in ("", "server", "dev"):
        found = distributions("laneway", [extra] if extra else [])
        label = f"laneway[{extra}]" if extra else "laneway"
        print(f"{label:16}  {len(found):3} packages  {megabytes(found):6.1f} MB")
    for name in IMPORTS:
        print(f"import {name:18} {import_ms(name):5.0f} ms  {len(imported(name)):4} modules")


if __name__ == "__main__":
    main()
