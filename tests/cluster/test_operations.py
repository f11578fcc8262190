"""Commands of docs/operations.md and k8s/README.md, as they are written there, in a real API server."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cluster.operating import wait_for
from tests.cluster.program import Program
from tests.cluster.release import CHART, NAME, Release

pytestmark = pytest.mark.timeout(300)
ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "operations.md").read_text()


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


def test_kustomize_installs_in_a_cluster_that_knows_no_worker_pool(
    kubectl: Program, namespace: str, tmp_path: Path
) -> None:
    for name in ("helm", "k8s"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for path in [path for path in tmp_path.rglob("*") if path.suffix in {".md", ".yaml"}]:
        path.write_text(
            path.read_text().replace("queuesystem.dev", f"{namespace}.dev")
        )  # not the other tests' definition
    kustomization = tmp_path / "k8s" / "kustomize" / "kustomization.yaml"
    kustomization.write_text(kustomization.read_text().replace("namespace: queue", f"namespace: {namespace}"))
    text = (tmp_path / "k8s" / "README.md").read_text().partition("create namespace queue\n")[2]
    text = text.replace("-n queue ", f"-n {namespace} ").replace(
        "--namespace queue ", f"--namespace {namespace} "
    )
    text = text.replace(
        "helm template ", "helm template --kube-version=1.34.0 "
    )  # this helm knows none of its own
    environment = {**kubectl.environment, "PATH": f"{kubectl.path.parent}:{kubectl.environment['PATH']}"}
    done = subprocess.run(
        ["sh", "-e"],
        input=text,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    kubectl("get", f"workerpools.{namespace}.dev", f"{NAME}-worker", f"--namespace={namespace}")
    kubectl("delete", f"--filename={tmp_path / 'helm' / 'queue-system' / 'crds'}")
