"""The peers: what each is, and the commands of its producer and its worker."""

from __future__ import annotations

from dataclasses import dataclass, field

OURS = "laneway"


@dataclass(frozen=True, slots=True)
class Peer:
    """A queue library with its adapter. In commands `{python}` and `{node}` are the interpreters that have it."""

    name: str
    title: str
    """What tables call it."""
    producer: tuple[str, ...]
    workers: tuple[tuple[str, ...], ...]
    """One command a process group; two for a peer that uses two processors only as two workers."""
    packages: str = ""
    """`node`, the stem of a file in `requirements/`, or nothing for what this repository's environment has."""
    environment: dict[str, str] = field(default_factory=dict)
    max_users: int = 100_000
    """With more users it is not run."""
    why_not_more: str = ""


def _node(name: str, title: str, workers: int = 1, **more: int | str) -> Peer:
    program = name.partition("-")[0]
    return Peer(
        name,
        title,
        ("{node}", f"node/{program}_producer.js"),
        (("{node}", f"node/{program}_worker.js"),) * workers,
        "node",
        **more,  # type: ignore[arg-type]
    )


def _python(name: str, title: str, *worker: str) -> Peer:
    return Peer(name, title, ("{python}", f"python/{name}_peer.py"), (("{python}", "-m", *worker),), name)


def _celery(name: str, title: str, workers: int = 1, queues: str = "one", max_users: int = 100_000) -> Peer:
    processes = str(2 // workers)
    quiet = ("-l", "WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat")
    commands = tuple(
        ("{python}", "-m", "celery", "-A", "celery_peer", "worker", "-c", processes, "-n", f"w{n}@%h", *quiet)
        for n in range(workers)
    )
    return Peer(
        name,
        title,
        ("{python}", "python/celery_peer.py"),
        commands,
        environment={"BENCH_QUEUES": queues},
        max_users=max_users,
        why_not_more="its worker polls every queue by name",
    )


LANEWAY = Peer(
    OURS, "Laneway", ("{python}", "python/laneway_producer.py"), (("{python}", "-m", "laneway.worker"),)
)
BULLMQ = _node("bullmq", "BullMQ")
BULLMQ_TWO = _node("bullmq-two", "BullMQ, 2 workers", workers=2)
GROUPMQ = _node("groupmq", "GroupMQ")
BULL = _node("bull", "Bull, queue a user", max_users=1_000, why_not_more="it opens three connections a queue")
CELERY = _celery("celery", "Celery")
CELERY_TWO = _celery("celery-two", "Celery, 2 workers", workers=2)
CELERY_QUEUES = _celery("celery-queues", "Celery, queue a user", queues="user", max_users=1_000)
ARQ = _python("arq", "arq", "arq", "arq_peer.WorkerSettings")
SAQ = _python("saq", "SAQ", "saq", "saq_peer.settings")
STREAQ = _python("streaq", "streaQ", "streaq", "run", "streaq_peer:worker")
TASKIQ = _python(
    "taskiq", "taskiq", "taskiq", "worker", "taskiq_peer:broker", "--workers", "2", "--log-level", "WARNING"
)

EXPRESS = Peer("express-bull", "Express + Bull", (), (), "node")
FASTAPI = Peer("fastapi", "plain FastAPI", (), ())

RIVALS = (BULLMQ, GROUPMQ, BULL)
"""The fast ones: they are measured in most cases."""
OTHERS = (BULLMQ_TWO, CELERY, CELERY_TWO, CELERY_QUEUES, ARQ, SAQ, STREAQ, TASKIQ)
"""They are measured with 1,000 users, and with fewer jobs."""
PEERS = {peer.name: peer for peer in (LANEWAY, *RIVALS, *OTHERS, EXPRESS, FASTAPI)}
