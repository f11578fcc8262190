"""What runs in a pool process: the tasks of its event loop and the batch of its main thread."""

from __future__ import annotations

from laneway.lanes.model import Lease
from laneway.worker.pool.jobs import Batch
from laneway.worker.pool.tasks import TaskRunner


class RunningJobs:
    """For the event loop."""

    def __init__(self, tasks: TaskRunner) -> None:
        self.tasks = tasks
        self.batch: Batch | None = None
        """The batch that the main thread has, until its end is collected."""

    @property
    def held_tasks(self) -> int:
        """How many tasks run, or have ended and were not collected."""
        return len(self.tasks) + self.tasks.uncollected

    def runs(self, lease: Lease) -> bool:
        """Whether the handler of this lease's job runs now."""
        batch = self.batch
        in_main_thread = batch is not None and batch.running >= 0 and batch.jobs[batch.running].lease is lease
        return in_main_thread or lease.handle in self.tasks

    def stop(self, handle: str) -> None:
        """Ask the job of this lease to stop: its user cancelled it, or the lease belongs to another process."""
        if self.tasks.stop(handle) or self.batch is None:
            return
        for job in self.batch.jobs:
            if job.lease.handle == handle and job.context is not None:
                job.context.stop()
