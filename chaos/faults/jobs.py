"""Handlers misbehave."""

from __future__ import annotations

from chaos.faults.fault import Fault, Scene


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


FAULTS = (
    Fault("a handler kills its process", "handler", kill_own_process),
    Fault("a handler leaks memory until it is killed", "handler", leak_memory),
    Fault("a handler never returns", "handler", never_return),
    Fault("a handler forks", "handler", leave_child),
    Fault("a handler closes every file descriptor", "handler", close_descriptors),
)
