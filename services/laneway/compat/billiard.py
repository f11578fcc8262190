"""What we need from inside billiard, Celery's fork of `multiprocessing`, and from `multiprocessing` itself.

| entry | needs | why | upstream |
|---|---|---|---|
| `restore_multiprocessing` | `multiprocessing.process._current_process` | billiard puts its own, daemonic process object there; a handler could start no process | celery 1709 |
| | `__spec__` and `__file__` of the main module | each spawned process would import it, and with it Celery | none: `multiprocessing` works so |
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.process
import sys


def restore_multiprocessing() -> None:
    """Make `multiprocessing` work in this process of a Celery pool as in any other. Call it after the fork.

    Otherwise it refuses to start processes ("daemonic processes are not allowed to have children"), and the methods `spawn`
    and `forkserver` fail on an authentication key of billiard's type.
    """
    process = multiprocessing.Process(name=multiprocessing.current_process().name)
    process.daemon = False
    process.authkey = bytes(process.authkey)  # the setter makes it one of multiprocessing's type
    vars(multiprocessing.process)["_current_process"] = process
    main = sys.modules["__main__"]
    main.__spec__ = main.__file__ = None
