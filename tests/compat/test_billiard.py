"""Canaries: what we rely on inside billiard and multiprocessing is still there."""

from __future__ import annotations

import multiprocessing
from typing import Any

import billiard

from laneway.compat.billiard import restore_multiprocessing


def _start_a_child(method: str, *, restore: bool) -> None:
    if restore:
        restore_multiprocessing()
    context: Any = multiprocessing.get_context(method)
    child = context.Process(target=int)
    child.start()
    child.join()
    raise SystemExit(child.exitcode)


def _exit_code(method: str, *, restore: bool) -> int:
    process = billiard.Process(target=_start_a_child, args=(method,), kwargs={"restore": restore})
    process.daemon = True
    process.start()
    process.join()
    return int(process.exitcode)


def test_multiprocessing_works_in_a_daemonic_process_of_billiard() -> None:
    for method in ("fork", "spawn"):
        assert _exit_code(method, restore=True) == 0, (
            f"multiprocessing: `{method}` no longer follows `process._current_process`; see compat/billiard.py"
        )


def test_without_it_multiprocessing_still_refuses() -> None:
    assert _exit_code("fork", restore=False) != 0, (
        "billiard no longer stands in multiprocessing's way: `restore_multiprocessing` in compat/billiard.py may go"
    )
