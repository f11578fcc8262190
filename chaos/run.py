"""`python -m chaos.run --minutes 10 --seed 1`: every kind of fault, mixed at random, thrown at the whole system under
load; then the checker's verdict, and how soon the system was back at full speed after each kind.

After each fault the system must become ready, and be back at full speed, by itself. Exits with 1 when a promise was broken.
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
from chaos.clients.client import Told
from chaos.clients.load import Load, Plan, signed
from chaos.clients.misbehaving import Trouble
from chaos.event_times import ends
from chaos.faults.kinds import KINDS, Kind, Scene
from chaos.records import read
from chaos.recovery import Recovery, Speed, table
from chaos.system.system import System

USERS = 40
RATE = 35.0
"""Requests a second; with the batches it is twice as many jobs."""
WARM_SECONDS = 6.0
CALM_SECONDS = 1.0
"""Between the moment at which the system is back at full speed and the next fault."""
BACK_SECONDS = 20.0
TOGETHER = 0.4
"""How often another fault is thrown with one, if it has another target."""
READY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it. `leftovers`: keys in Redis that nothing needs any more. `explained`: what happened around the breaches."""

    told: Told
    verdict: Verdict
    recoveries: list[Recovery]
    leftovers: list[str]
    explained: tuple[str, ...] = ()

    @property
    def faults(self) -> int:
        return sum(len(recovery.names) for recovery in self.recoveries)

    @property
    def clean(self) -> bool:
        """Nothing is broken, nothing left over, every answer is one that the API may give, and every fault was got over."""
        back = all(recovery.back_seconds is not None for recovery in self.recoveries)
        return self.verdict.clean and back and not self.leftovers and not self.told.unexpected

    def show(self, console: Console) -> None:
        told = self.told
        self.verdict.show(console)
        console.print(table(self.recoveries))
        console.print(
            f"accepted {told.accepted:,} jobs, {told.ambiguous:,} answers left it open; faults {self.faults}"
        )
        slowest = ", ".join(f"{status} {seconds:.2f} s" for status, seconds in sorted(told.slowest.items()))
        console.print(f"answers {dict(sorted(told.statuses.items()))}, slowest: {slowest}")
        for text in (*told.unexpected[:5], *self.leftovers[:5]):
            console.print(f"unexpected: {text}", style="red", markup=False)
        for text in self.explained:
            console.print(text, markup=False, highlight=False)


class Chaos:
    """One run on a system that is ready."""

    def __init__(
        self, system: System, seed: int, console: Console, *, calm_seconds: float = CALM_SECONDS
    ) -> None:
        self._calm_seconds = calm_seconds
        self._system, self._random, self._seed, self._console = system, Random(seed), seed, console
        self._users = [f"user{number:02d}" for number in range(USERS)]
        self._single = self._users[::2]
        """Every second user has one slot, so that order is judged at its strictest."""
        self._ends = ends(system.records)
        self._speed = Speed(self._ends.times_ns)

    def run(self, hands: Iterable[Sequence[Kind]], throwers: ThreadPoolExecutor) -> Outcome:
        """Throw the kinds of each hand together, one hand after another, then judge. `throwers`: their threads outlive the system,
        for servers die with the thread that started them."""
        system = self._system
        self._limit()
        with closing(Trouble(system)) as trouble:
            load = Load(Plan(system.urls, str(system.records), self._users, RATE, self._seed))
            try:
                begun_ns = time.monotonic_ns()
                threading.Event().wait(WARM_SECONDS)
                self._ends.update()
                self._speed.calm(begun_ns + int(1e9), time.monotonic_ns())
                scene = Scene(system, self._random, trouble)
                recoveries = [self._throw(scene, throwers, kinds) for kinds in hands]
            finally:
                told = load.stop()
            return self._judge(told, recoveries, trouble)

    def _limit(self) -> None:
        headers = {"Authorization": f"Bearer {signed(self._system.secret, 'boss', role='admin')}"}
        for user in self._single:
            url = f"{self._system.urls[0]}/api/admin/lanes/{user}/limit"
            httpx.put(url, json={"slots": 1}, headers=headers).raise_for_status()

    def _throw(self, scene: Scene, throwers: ThreadPoolExecutor, kinds: Sequence[Kind]) -> Recovery:
        names = tuple(kind.name for kind in kinds)
        times = list(throwers.map(lambda kind: kind.throw(scene), kinds))
        from_ns, lifted_ns = min(begun for begun, _ in times), max(lifted for _, lifted in times)
        self._system.await_ready(READY_SECONDS)
        ready_ns = time.monotonic_ns()
        back_ns = self._back(lifted_ns)
        calm_ns = time.monotonic_ns()
        threading.Event().wait(self._calm_seconds)
        self._ends.update()
        self._speed.calm(calm_ns, time.monotonic_ns())
        back = None if back_ns is None else (back_ns - lifted_ns) / 1e9
        self._console.print(
            f"{' + '.join(names)}: lasted {(lifted_ns - from_ns) / 1e9:.1f} s, all ready {(ready_ns - lifted_ns) / 1e9:.1f} s later, "
            + ("NOT BACK at full speed" if back is None else f"full speed {back:.1f} s later"),
            highlight=False,
        )
        return Recovery(names, (lifted_ns - from_ns) / 1e9, back)

    def _back(self, lifted_ns: int) -> int | None:
        """When the system was back at full speed; None if not within BACK_SECONDS after it was ready."""
        deadline = time.monotonic() + BACK_SECONDS
        while True:
            self._ends.update()
            back_ns = self._speed.back(lifted_ns, time.monotonic_ns())
            if back_ns is not None or time.monotonic() > deadline:
                return back_ns
            threading.Event().wait(0.1)

    def _judge(self, told: Told, recoveries: list[Recovery], trouble: Trouble) -> Outcome:
        system, users = self._system, [*self._users, *trouble.users]
        self._console.print("load stopped; waiting until all jobs have ended")
        collection.await_quiet(system, users)
        collection.collect(system, users)
        others = [user for user in users if user not in self._single]
        verdict = collection.verdict(system, users, {1: self._single, 5: others})
        explained = tuple(explain(system.records, read(system.records, system.limits), verdict.violations))
        return Outcome(told, verdict, recoveries, collection.leftovers(system), explained)


def mixed(random: Random, seconds: float) -> Iterator[list[Kind]]:
    """Kinds at random until the time is over, some of them two at a time. They come from a shuffled deck with all kinds in it, so
    that each has its turn."""
    deck: list[Kind] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if len(deck) < 2:
            deck = random.sample(list(KINDS.values()), len(KINDS)) + deck
        hand = [deck.pop()]
        targets = {hand[0].target, deck[-1].target}
        if random.random() < TOGETHER and len(targets) == 2 and "all" not in targets:
            hand.append(deck.pop())
        yield hand


def run(folder: Path, seconds: float, seed: int, console: Console) -> Outcome:
    """A whole run, with a system of its own in `folder`."""
    random = Random(seed)
    with ThreadPoolExecutor(2) as throwers, System(folder).running() as system:
        return Chaos(system, seed, console).run(mixed(random, seconds), throwers)
