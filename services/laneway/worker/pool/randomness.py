"""Random numbers after a fork: without a new seed, every pool process would draw the same ones.

Python reseeds the functions of `random` itself. A generator that a handler module made at import is a copy in each process.
"""

from __future__ import annotations

import random
import sys

from laneway.handlers import Registry


def reseed(registry: Registry) -> None:
    """Give every `random.Random` at the top level of a handler module a seed of its own. Call it after the fork."""
    for name in {spec.function.__module__ for spec in registry.types.values()}:
        for value in vars(sys.modules.get(name, random)).values():
            if isinstance(value, random.Random) and not isinstance(value, random.SystemRandom):
                value.seed()
