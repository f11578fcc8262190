"""One run: a load on the whole system, faults one after another, and the verdict.

After each fault the system must become ready, and be back at full speed, by itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random

import httpx
from rich.console import Console

from chaos import collection
from chaos.checker.explanation import explain
from chaos.checker.verdict import Verdict
from chaos.clients.client import AnswerStats
from chaos.clients.load import Load, LoadPlan
from chaos.clients.single import SingleRequests
from chaos.clients.tokens import authorization
from chaos.event_times import handler_ends
from chaos.faults.catalogue import FAULTS
from chaos.faults.fault import Fault, Scene
from chaos.records import read_history
from chaos.recovery import Recovery, Speed, recovery_table
from chaos.system.system import System

USERS = 40
BYSTANDERS = 20
RATE = 35.0
"""Requests a second. With the batches it is twice as many jobs."""
WARM_UP_SECONDS = 6.0
CALM_SECONDS = 1.0
"""How long the system runs at full speed before the next fault."""
RECOVERY_SECONDS = 20.0
"""How long the system may take to be back at full speed once it is ready."""
PAIRS = 0.4
"""How often two faults are injected together, if their targets differ."""
READY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out of a run. `leftovers` are keys in Redis that nothing needs; `explanations` tell more about violations."""

    stats: AnswerStats
    verdict: Verdict
    recoveries: list[Recovery]
    leftovers: list[str]
    explanations: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether no promise was broken, nothing was left over, every answer was allowed, and the system always recovered."""
        recovered = all(recovery.recovered_seconds is not None for recovery in self.recoveries)
        return self.verdict.clean and recovered and not self.leftovers and not self.stats.unexpected

    def print(self, console: Console) -> None:
        """Print the verdict, the recoveries and the answers."""
        stats, faults = self.stats, sum(len(recovery.names) for recovery in self.recoveries)
        self.verdict.print(console)
        console.print(recovery_table(self.recoveries))
        console.print(
            f"accepted {stats.accepted:,} jobs, {stats.ambiguous:,} without a clear answer; {faults} faults"
        )
        slowest = ", ".join(
            f"{status} {seconds:.2f} s" for status, seconds in sorted(stats.slowest_seconds.items())
        )
        console.print(f"answers {dict(sorted(stats.statuses.items()))}, slowest: {slowest}")
        for text in (*stats.unexpected[:5], *self.leftovers[:5]):
            console.print(f"unexpected: {text}", style="red", markup=False)
        for text in self.explanations:
            console.print(text, markup=False, highlight=False)


class ChaosRun:
    """One run on a system that is ready. Half of the users have one slot, where the order of jobs is strictest."""

    def __init__(
        self, system: System, seed: int, console: Console, *, calm_seconds: float = CALM_SECONDS
    ) -> None:
        self._calm_seconds = calm_seconds
        self._system, self._random, self._seed, self._console = system, Random(seed), seed, console
        self._users = [f"user{number:02d}" for number in range(USERS)]
        self._single_slot_users = self._users[::2]
        self._ends = handler_ends(system.records)
        self._speed = Speed(self._ends.times_ns)

    def run(self, rounds: Iterable[Sequence[Fault]], threads: ThreadPoolExecutor) -> Outcome:
        """Inject the faults of each round together, one round after another, then judge.

        `threads` must outlive the system, because servers end with the thread that started them.
        """
        system = self._system
        self._limit_slots()
        with (
            closing(SingleRequests(system)) as requests,
            closing(SingleRequests(system, "bystander", users=BYSTANDERS)) as bystanders,
        ):
            load = Load(LoadPlan(system.urls, str(system.records), self._users, RATE, self._seed))
            try:
                begun_ns = time.monotonic_ns()
                threading.Event().wait(WARM_UP_SECONDS)
                self._add_calm(begun_ns + int(1e9))
                scene = Scene(system, self._random, requests, bystanders)
                recoveries = [self._inject(scene, threads, faults) for faults in rounds]
            finally:
                stats = load.stop()
            return self._judge(stats, recoveries, [*requests.users, *bystanders.users])

    def _limit_slots(self) -> None:
        headers = authorization(self._system.secret, "boss", role="admin")
        for user in self._single_slot_users:
            url = f"{self._system.urls[0]}/api/admin/lanes/{user}/limit"
            httpx.put(url, json={"slots": 1}, headers=headers).raise_for_status()

    def _inject(self, scene: Scene, threads: ThreadPoolExecutor, faults: Sequence[Fault]) -> Recovery:
        times = list(threads.map(lambda fault: fault.run(scene), faults))
        from_ns, until_ns = min(begun for begun, _ in times), max(ended for _, ended in times)
        self._system.await_ready(READY_SECONDS)
        ready_ns = time.monotonic_ns()
        recovered_ns = self._await_full_speed(until_ns)
        calm_ns = time.monotonic_ns()
        threading.Event().wait(self._calm_seconds)
        self._add_calm(calm_ns)
        seconds = None if recovered_ns is None else (recovered_ns - until_ns) / 1e9
        names = tuple(fault.name for fault in faults)
        self._console.print(
            f"{' + '.join(names)}: lasted {(until_ns - from_ns) / 1e9:.1f} s, all ready {(ready_ns - until_ns) / 1e9:.1f} s later, "
            + ("NOT BACK at full speed" if seconds is None else f"full speed {seconds:.1f} s later"),
            highlight=False,
        )
        return Recovery(names, (until_ns - from_ns) / 1e9, seconds)

    def _add_calm(self, from_ns: int) -> None:
        self._ends.update()
        self._speed.add_calm(from_ns, time.monotonic_ns())

    def _await_full_speed(self, fault_end_ns: int) -> int | None:
        """Return when the system was back at full speed; None if it took too long."""
        deadline = time.monotonic() + RECOVERY_SECONDS
        while True:
            self._ends.update()
            recovered_ns = self._speed.recovered_ns(fault_end_ns, time.monotonic_ns())
            if recovered_ns is not None or time.monotonic() > deadline:
                return recovered_ns
            threading.Event().wait(0.1)

    def _judge(self, stats: AnswerStats, recoveries: list[Recovery], more_users: list[str]) -> Outcome:
        system, users = self._system, [*self._users, *more_users]
        self._console.print("load stopped; waiting until all jobs have ended")
        collection.await_quiet(system, users)
        collection.record_endings(system, users)
        others = [user for user in users if user not in self._single_slot_users]
        verdict = collection.judge_users(system, users, {1: self._single_slot_users, 5: others})
        history = read_history(system.records, system.limits)
        explanations = tuple(explain(system.records, history, verdict.violations))
        return Outcome(stats, verdict, recoveries, collection.leftover_keys(system), explanations)


def random_rounds(random: Random, seconds: float) -> Iterator[list[Fault]]:
    """Yield faults until the time is over, some of them in pairs. They come from a shuffled deck with all kinds, so that each kind
    gets its turn."""
    deck: list[Fault] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if len(deck) < 2:
            deck = random.sample(list(FAULTS.values()), len(FAULTS)) + deck
        faults = [deck.pop()]
        targets = {faults[0].target, deck[-1].target}
        if random.random() < PAIRS and len(targets) == 2 and "all" not in targets:
            faults.append(deck.pop())
        yield faults


def run(folder: Path, seconds: float, seed: int, console: Console) -> Outcome:
    """Do a whole run, with a system of its own in `folder`."""
    random = Random(seed)
    with ThreadPoolExecutor(2) as threads, System(folder).running() as system:
        return ChaosRun(system, seed, console).run(random_rounds(random, seconds), threads)
