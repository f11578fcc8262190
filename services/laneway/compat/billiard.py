"""What we need from inside billiard, Celery's fork of `multiprocessing`, and from `multiprocessing` itself.

| entry | needs | why | upstream |
|---|---|---|---|
| `restore_multiprocessing` | `multiprocessing.process._current_process` | billiard puts its own, daemonic process object there; a handler could start no process | celery 1709 |
| | `_config["tempdir"]` of a process object | the folder that it would make for itself may go before it does | none: `multiprocessing` works so |
| | `__spec__` and `__file__` of the main module | each spawned process would import it, and with it Celery | none: `multiprocessing` works so |
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.process
import sys
from pathlib import Path


def restore_multiprocessing(folder: Path) -> None:
    """Make `multiprocessing` work in this process of a Celery pool as in any other. Call it after the fork.

    Otherwise it refuses to start processes ("daemonic processes are not allowed to have children"), and the methods `spawn`
    and `forkserver` fail on an authentication key of billiard's type. `folder` is made, for sockets: the folder for temporary
    files that `multiprocessing` would make and keep may belong to one job.
    """
    process = multiprocessing.Process(name=multiprocessing.current_process().name)
    process.daemon = False
    process.authkey = bytes(process.authkey)  # the setter makes it one of multiprocessing's type
    folder.mkdir(0o700)
    vars(process)["_config"]["tempdir"] = str(folder)
    vars(multiprocessing.process)["_current_process"] = process
    main = sys.modules["__main__"]
    main.__spec__ = main.__file__ = None
