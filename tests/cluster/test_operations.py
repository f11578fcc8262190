"""Commands of docs/operations.md, as they are written there, in a real API server."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.cluster.operating import wait_for
from tests.cluster.program import Program
from tests.cluster.release import CHART, NAME, Release

pytestmark = pytest.mark.timeout(300)
TEXT = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()


@pytest.fixture
def release(helm: Program, kubectl: Program, restricted: str) -> Release:
    return Release(helm, kubectl, restricted)


def _run(release: Release, command: str) -> None:
    """The release is called `queue` there, in a namespace of the same name."""
    for written, here in {
        "-n queue": f"--namespace={release.namespace}",
        "queue-queue-system": NAME,
        "upgrade queue ./helm/queue-system": f"upgrade {NAME} {CHART}",
    }.items():
        command = command.replace(written, here)
    program, *arguments = shlex.split(command, comments=True)
    {"kubectl": release.kubectl, "helm": release.helm}[program](*arguments)


def test_after_a_restore_everything_runs_again(release: Release) -> None:
    """Also what is not Helm's to scale."""
    release.install({"api": {"autoscaling": {"enabled": True}}, "operator": {"replicas": 2}})
    (restore,) = re.findall(r"^# Restore.*?^```", TEXT, re.MULTILINE | re.DOTALL)
    commands = re.findall(r"^(?:kubectl|helm) .*", restore, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        _run(release, command)
    replicas = {name: release.get("deployment", name)["spec"]["replicas"] for name in ("api", "worker")}
    assert 0 not in replicas.values()
    assert release.get("deployment", "operator")["spec"]["replicas"] == 2


@pytest.mark.parametrize(
    "command", sorted(set(re.findall(r"kubectl -n queue rollout restart [^`\n]*", TEXT)))
)
def test_pods_are_restarted(release: Release, command: str) -> None:
    release.install()
    components = ("redis",) if "redis" in command else ("api", "worker", "operator")
    before = release.uids(*components)
    _run(release, command)
    wait_for(lambda: len(release.uids(*components) - before) >= len(components))
