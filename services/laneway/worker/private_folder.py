"""The folder that belongs to one worker: the lease keeper's socket, files that it shares with the pool, and the temporary files of jobs.

Every process of the worker holds a shared lock on it. A folder that nobody holds is a leftover: its worker was killed. The next
worker that starts here removes it, since killed jobs may have left gigabytes.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import structlog

PREFIX = "laneway-worker-"
MAX_PARENT_BYTES = 50
"""The kernel has 108 bytes for a socket's path, so only the temporary files are in a TMPDIR that is longer."""
_SHORT_PARENT = Path("/tmp")  # noqa: S108 - mkdtemp is safe there
_FILES = "files"
log = structlog.get_logger()


def socket_path(folder: Path) -> Path:
    """Return where the worker's lease keeper listens."""
    return folder / "lease_keeper.sock"


def output_path(folder: Path) -> Path:
    """Return where the supervisor receives the pipes that it reads."""
    return folder / "output"


def turn_message_path(folder: Path) -> Path:
    """Return where Celery leaves the turn message for the lease keeper."""
    return folder / "turn_message"


def start_tokens_path(folder: Path, pid: int) -> Path:
    """Return the path of the start tokens of the pool process `pid`."""
    return folder / f"{pid}.tokens"


def running_mark_path(folder: Path, pid: int) -> Path:
    """Return the path of the running mark of the pool process `pid`."""
    return folder / f"{pid}.running"


def temporary_files(folder: Path, pid: int) -> Path:
    """Return where the jobs of the pool process `pid` have their temporary files. It is in TMPDIR, however long that is."""
    return (folder / _FILES).resolve() / str(pid)


def multiprocessing_files(folder: Path, pid: int) -> Path:
    """Return where `multiprocessing` has its sockets in the pool process `pid`: it uses them for as long as the process lives."""
    return folder / f"{pid}.mp"


def remove_files_of(folder: Path, pid: int) -> None:
    """Remove the temporary files of a process that has ended."""
    for files in (temporary_files(folder, pid), multiprocessing_files(folder, pid)):
        shutil.rmtree(files, ignore_errors=True)


def make() -> Path:
    """Make the folder, and hold it until this process ends. Removes leftovers first."""
    wanted = Path(tempfile.gettempdir())
    parent = wanted if len(os.fsencode(wanted)) <= MAX_PARENT_BYTES else _SHORT_PARENT
    for leftover in _leftovers({wanted, parent}):
        _remove_leftover(leftover)
    folder = _make_in(parent)
    if parent == wanted:
        (folder / _FILES).mkdir()
    else:
        (folder / _FILES).symlink_to(_make_in(wanted))
    return folder


def hold(folder: Path) -> None:
    """Keep the folder from being taken for a leftover while this process or a fork of it lives."""
    _lock(folder)
    _lock(folder / _FILES)


def remove(folder: Path) -> None:
    """Remove the folder and everything in it."""
    shutil.rmtree((folder / _FILES).resolve(), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


def _make_in(parent: Path) -> Path:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        with suppress(FileNotFoundError):  # another worker has removed it, before it was locked
            _lock(folder)
            if folder.exists():
                return folder


def _lock(folder: Path) -> None:
    """Take a shared lock on a folder. The descriptor stays open: its end is the end of the lock."""
    fcntl.flock(os.open(folder, os.O_RDONLY | os.O_CLOEXEC), fcntl.LOCK_SH)


def _leftovers(parents: set[Path]) -> Iterator[Path]:
    for parent in parents:
        for folder in parent.glob(f"{PREFIX}*"):
            with suppress(FileNotFoundError):
                if not folder.is_symlink() and folder.is_dir() and folder.stat().st_uid == os.geteuid():
                    yield folder


def _remove_leftover(folder: Path) -> None:
    """Remove the folder, unless a process holds it. The exclusive lock keeps its maker from using it meanwhile."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
            log.info("leftovers_removed", folder=str(folder))
        finally:
            os.close(descriptor)
