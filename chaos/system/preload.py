"""Compiles the small C libraries that are preloaded into a process to replace its disk or its clock."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCES = Path(__file__).parent / "preload_sources"
CLOCK_VARIABLE = "CHAOS_CLOCK_SECONDS"
"""How many seconds the time of day of a process is wrong; needs the library `clock`."""


class NoCompilerError(Exception):
    """This machine has no C compiler. Tests that need one skip with this reason."""


def preload_library(name: str) -> Path:
    """Return the library of `preload_sources/<name>.c`, compiled once for each version of its source. Raises NoCompilerError."""
    source = SOURCES / f"{name}.c"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    library = Path(tempfile.gettempdir()) / f"laneway-preload-{os.getuid()}" / f"{name}-{digest}.so"
    if not library.exists():
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise NoCompilerError("no C compiler (cc or gcc) on the path")
        library.parent.mkdir(mode=0o700, exist_ok=True)
        partial = library.with_suffix(f".{os.getpid()}")  # two processes may compile at once
        options = ["-shared", "-fPIC", "-O1", "-Wall", "-Werror"]
        subprocess.run([compiler, *options, "-o", partial, source, "-ldl"], check=True, timeout=60)
        partial.replace(library)
    return library


def wrong_clock(seconds: int) -> dict[str, str]:
    """Return the environment of a process whose time of day is wrong by this much. Raises NoCompilerError."""
    return {"LD_PRELOAD": str(preload_library("clock")), CLOCK_VARIABLE: str(seconds)}
