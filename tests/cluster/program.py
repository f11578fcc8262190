"""Command line programs as functions."""

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
    """`kubectl("get", "pods")` runs it and returns what it printed; a failure shows what it complained of."""

    path: Path
    environment: Mapping[str, str]

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, f"{self._line(arguments)}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def json(self, *arguments: str, stdin: str = "") -> Any:
        return json.loads(self(*arguments, "--output=json", stdin=stdin))

    def refused(self, *arguments: str, stdin: str = "") -> str:
        """It must fail; returns its complaint."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode != 0, f"{self._line(arguments)} was to be refused:\n{done.stdout}"
        return done.stderr

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Whatever comes of it."""
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
        """Let it run on; who starts it ends it."""
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
