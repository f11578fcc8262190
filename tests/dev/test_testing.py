"""`laneway.testing.system`: a whole system for the tests of handlers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from laneway import testing
from laneway.client import RequestRefused
from tests.dev.conftest import Machine

MODULE = '''
from laneway import handler

@handler
def double(n: int) -> int:
    """Double a number."""
    return 2 * n
'''


def test_a_system_with_ones_own_handlers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "doubling.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    with testing.system("doubling", max_attempts=2) as system:
        ann, bea = system.client("ann"), system.client("bea")
        assert [type_.name for type_ in ann.types()] == ["double"]
        assert ann.types()[0].max_attempts == 2
        jobs = [client.enqueue("double", n) for n, client in enumerate((ann, bea, system.client("ann")))]
        assert [job.wait(30).result for job in jobs] == [0, 2, 4]
        with pytest.raises(RequestRefused, match="#/body/request"):
            ann.enqueue("double", "many")
        machine = Machine(tmp_path)
        machine.data = system.log.parent / "data"
        machine.output.touch()
        machine.wait_until(lambda: jobs[0].id in system.log.read_text())
        assert machine.running()
    assert not machine.running()
    assert not system.log.exists()


@pytest.mark.thorough  # test_local shows what laneway dev says then
def test_a_system_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no_such_module" not in sys.modules
    with pytest.raises(RuntimeError, match="no_such_module"), testing.system("no_such_module"):
        pytest.fail("it has started")
