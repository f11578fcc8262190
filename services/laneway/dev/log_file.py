"""The log file of one machine, with rotation. One process writes it, so no line is torn."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

FILE_BYTES = 64 * 1024 * 1024
"""Size at which the file is rotated."""
ROTATED_FILES = 9
"""Rotated files that are kept; `<name>.1` is the newest. With the current one the logs take at most 640 MB."""


class LogFile:
    """Appends whole lines to a file. A full disk loses lines: the jobs must go on."""

    def __init__(
        self, path: Path, *, file_bytes: int = FILE_BYTES, rotated_files: int = ROTATED_FILES
    ) -> None:
        self.path = path
        self._file_bytes, self._rotated_files = file_bytes, rotated_files
        path.parent.mkdir(parents=True, exist_ok=True)
        self._open()

    def write(self, lines: bytes) -> None:
        """Append whole lines, and rotate first if the file would grow too large."""
        if self._size and self._size + len(lines) > self._file_bytes:
            self._rotate()
        with suppress(OSError):
            self._size += self._file.write(lines) or 0

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _open(self) -> None:
        self._file = self.path.open("ab", buffering=0)
        self._size = self.path.stat().st_size

    def _rotate(self) -> None:
        """Rename the files and open a new one. If somebody has moved or removed files, go on with the old one if need be."""
        for number in range(self._rotated_files - 1, 0, -1):
            with suppress(OSError):
                self._numbered(number).replace(self._numbered(number + 1))
        old = self._file
        with suppress(OSError):
            self.path.replace(self._numbered(1))
        try:
            self._open()
            old.close()
        except OSError:
            self._size = 0

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")
