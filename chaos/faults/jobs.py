"""Handlers misbehave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from chaos.clients.client import Request
from chaos.faults.fault import Fault, Scene

BYSTANDER_JOBS = 100


def kill_own_process(scene: Scene) -> None:
    """Run a job that kills its process, once or more often."""
    scene.requests.send_and_wait("die", {"times": scene.random.randrange(1, 4)})


def leak_memory(scene: Scene) -> None:
    """Run a job that is killed for the memory it takes."""
    scene.requests.send_and_wait("leak", {"times": 1})


def never_return(scene: Scene) -> None:
    """Run a job that only its time limit can end."""
    scene.requests.send_and_wait("hang", {"times": scene.random.randrange(1, 3)})


def leave_child(scene: Scene) -> None:
    """Run a job that leaves a child process behind."""
    scene.requests.send_and_wait("fork", {"ms": 1000})


def close_descriptors(scene: Scene) -> None:
    """Run a job that closes every file descriptor of its process."""
    scene.requests.send_and_wait("close", {"times": 1})


def poison_by(by: str) -> Callable[[Scene], None]:
    """Return a fault: a plain and an async job end every process that they run in, among a hundred jobs of others."""

    def inject(scene: Scene) -> None:
        await_poisoned(scene, [("poison", {"by": by}), ("poison-async", {"by": by})])

    return inject


def poison_by_time_limit(scene: Scene) -> None:
    """Run a plain and an async job that block their process until the time limit ends it, among a hundred jobs of others."""
    await_poisoned(scene, [("poison-hang", {}), ("poison-hang-async", {})])


def await_poisoned(scene: Scene, poison: Sequence[Request]) -> None:
    """Send the bystanders' jobs and then the poison, and wait until the poison has failed and the others have succeeded."""
    jobs = [scene.bystanders.send(*_bystander(number)) for number in range(BYSTANDER_JOBS)]
    poisonous = [scene.requests.send(*request) for request in poison]
    states = [scene.requests.await_end(*job) for job in poisonous]
    assert set(states) == {"failed"}, f"poisonous jobs ended as {states}"
    states = [scene.bystanders.await_end(*job) for job in jobs]
    assert set(states) == {"succeeded"}, f"bystanders ended as {Counter(states)}"


def _bystander(number: int) -> Request:
    return ("work", {"ms": 20}) if number % 5 == 0 else ("wait", {"ms": 1500})


FAULTS = (
    Fault("a handler kills its process", "handler", kill_own_process),
    Fault("a handler leaks memory until it is killed", "handler", leak_memory),
    Fault("a handler never returns", "handler", never_return),
    Fault("a handler forks", "handler", leave_child),
    Fault("a handler closes every file descriptor", "handler", close_descriptors),
    Fault("poisonous jobs among bystanders: exit", "handler", poison_by("exit")),
    Fault("poisonous jobs among bystanders: signal", "handler", poison_by("signal")),
    Fault("poisonous jobs among bystanders: memory", "handler", poison_by("memory")),
    Fault("poisonous jobs among bystanders: time limit", "handler", poison_by_time_limit),
)
