"""Compile the small C libraries that are preloaded into a process, to be its disk or its clock."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCES = Path(__file__).parent / "preload_c"


class NoCompilerError(Exception):
    """There is no C compiler here; tests that need one skip with this reason."""


def built(name: str) -> Path:
    """The library of `shims/<name>.c`, compiled once for each state of its source. Raises NoCompilerError."""
    source = SOURCES / f"{name}.c"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    library = Path(tempfile.gettempdir()) / f"laneway-faults-{os.getuid()}" / f"{name}-{digest}.so"
    if not library.exists():
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise NoCompilerError("no C compiler (cc or gcc) on the path")
        library.parent.mkdir(mode=0o700, exist_ok=True)
        fresh = library.with_suffix(f".{os.getpid()}")
        options = ["-shared", "-fPIC", "-O1", "-Wall", "-Werror"]
        subprocess.run([compiler, *options, "-o", fresh, source, "-ldl"], check=True, timeout=60)
        fresh.replace(library)
    return library
