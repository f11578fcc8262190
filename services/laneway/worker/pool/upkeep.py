"""What a pool process does for itself between two claims."""

from __future__ import annotations

from laneway.worker.pool.condition import Condition
from laneway.worker.pool.retirement import Retirement
from laneway.worker.pool.running import RunningJobs
from laneway.worker.pool.temporary_files import TemporaryFiles


class Upkeep:
    """Tidies up after handlers, and notices when that is not enough any more. For the event loop of a process."""

    def __init__(self, condition: Condition, files: TemporaryFiles, retirement: Retirement) -> None:
        self._condition, self._files = condition, files
        self.retirement = retirement

    def run(self, running: RunningJobs) -> None:
        """Do what is due. Takes 5 µs, and more only once a second or if there is something to remove."""
        if running.batch is None:  # a plain handler may have chosen another working folder for itself
            self._condition.restore()
            if not running.held_tasks:
                self._files.empty()
        self._condition.look_for_descriptor()
        self.retirement.check()
