"""Canary: `random.seed` and `random.setstate` can be replaced, and set the state of the functions of `random`."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from laneway.compat.random import SeedWatch

SETS: dict[str, Callable[[], None]] = {
    "seed": lambda: random.seed("a user's"),
    "setstate": lambda: random.setstate(random.Random("a user's").getstate()),
}


@pytest.mark.parametrize("how", SETS)
def test_a_state_that_was_set_is_set_anew(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETS:
        monkeypatch.setattr(random, name, getattr(random, name))
    watch, predicted = SeedWatch(), random.Random("a user's").random()
    SETS[how]()
    assert random.random() == predicted, "as everywhere"
    SETS[how]()
    watch.restore()
    drawn = random.random()
    assert drawn != predicted, "random no longer calls what we replace; see compat/random.py"
    state = random.getstate()
    watch.restore()
    assert random.getstate() == state, "a seed is drawn only where somebody has set one"
