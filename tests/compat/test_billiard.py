"""Canaries: what we rely on inside billiard and multiprocessing is still there."""

from __future__ import annotations

import multiprocessing
import multiprocessing.util
from pathlib import Path
from typing import Any

import billiard

from laneway.compat.billiard import restore_multiprocessing


def _start_a_child(method: str, folder: Path | None) -> None:
    if folder:
        restore_multiprocessing(folder)
        assert multiprocessing.util.get_temp_dir() == str(folder)
    context: Any = multiprocessing.get_context(method)
    child = context.Process(target=int)
    child.start()
    child.join()
    raise SystemExit(child.exitcode)


def _exit_code(method: str, folder: Path | None) -> int:
    process = billiard.Process(target=_start_a_child, args=(method, folder))
    process.daemon = True
    process.start()
    process.join()
    return int(process.exitcode)


def test_multiprocessing_works_in_a_daemonic_process_of_billiard(tmp_path: Path) -> None:
    for method in ("fork", "spawn"):
        assert _exit_code(method, tmp_path / method) == 0, (
            f"multiprocessing: `{method}` no longer follows `process._current_process`; see compat/billiard.py"
        )


def test_without_it_multiprocessing_still_refuses() -> None:
    assert _exit_code("fork", None) != 0, (
        "billiard no longer stands in multiprocessing's way: `restore_multiprocessing` in compat/billiard.py may go"
    )
