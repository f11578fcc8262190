"""Runs command line programs like functions."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIMIT_SECONDS = 110.0


@dataclass(frozen=True)
class Program:
    """`kubectl("get", "pods")` runs kubectl and returns its standard output. A failure shows its standard error."""

    path: Path
    environment: Mapping[str, str]

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, f"{self._line(arguments)}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def json(self, *arguments: str, stdin: str = "") -> Any:
        return json.loads(self(*arguments, "--output=json", stdin=stdin))

    def refused(self, *arguments: str, stdin: str = "") -> str:
        """Run the program, which must fail; returns its standard error."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode != 0, (
            f"{self._line(arguments)} succeeded, but should have been refused:\n{done.stdout}"
        )
        return done.stderr

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run the program, whether it succeeds or not."""
        return subprocess.run(
            [self.path, *arguments],
            input=stdin,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the program in the background. The caller must end it."""
        return subprocess.Popen(
            [self.path, *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def _line(self, arguments: tuple[str, ...]) -> str:
        return " ".join([self.path.name, *arguments])
