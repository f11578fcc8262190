"""Runs the commands of docs/operations.md and k8s/README.md as they are written, against a real API server."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cluster import document
from tests.cluster.operating import wait_for
from tests.cluster.program import Program
from tests.cluster.release import NAME, Release

pytestmark = pytest.mark.timeout(300)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def release(helm: Program, kubectl: Program, restricted: str) -> Release:
    return Release(helm, kubectl, restricted)


def test_after_a_restore_everything_runs_again(release: Release, tmp_path: Path) -> None:
    """Also Deployments whose replicas Helm does not set."""
    release.install({"api": {"autoscaling": {"enabled": True}}, "operator": {"replicas": 2}})
    restore = document.commands("## Back up and restore")["Restore"]
    document.run(release, document.without(restore, "mongo", "redis"), tmp_path)
    replicas = {name: release.get("deployment", name)["spec"]["replicas"] for name in ("api", "worker")}
    assert 0 not in replicas.values()
    assert release.get("deployment", "operator")["spec"]["replicas"] == 2


@pytest.mark.parametrize(
    "command", sorted(set(re.findall(r"kubectl -n laneway rollout restart [^`\n]*", document.PAGE)))
)
def test_pods_are_restarted(release: Release, command: str, tmp_path: Path) -> None:
    release.install()
    components = ("redis",) if "redis" in command else ("api", "worker", "operator")
    before = release.uids(*components)
    document.run(release, command, tmp_path)
    wait_for(lambda: len(release.uids(*components) - before) >= len(components))


def test_kustomize_installs_in_a_cluster_that_knows_no_worker_pool(
    kubectl: Program, namespace: str, tmp_path: Path
) -> None:
    for name in ("helm", "k8s"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for path in [path for path in tmp_path.rglob("*") if path.suffix in {".md", ".yaml"}]:
        path.write_text(
            path.read_text().replace("laneway.dev", f"{namespace}.dev")
        )  # other tests need the real CRD
    kustomization = tmp_path / "k8s" / "kustomize" / "kustomization.yaml"
    kustomization.write_text(
        kustomization.read_text().replace("namespace: laneway", f"namespace: {namespace}")
    )
    text = (tmp_path / "k8s" / "README.md").read_text().partition("create namespace laneway\n")[2]
    text = text.replace("-n laneway ", f"-n {namespace} ").replace(
        "--namespace laneway ", f"--namespace {namespace} "
    )
    text = text.replace(
        "helm template ", "helm template --kube-version=1.34.0 "
    )  # this build of helm has no default version
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
    kubectl("delete", f"--filename={tmp_path / 'helm' / 'laneway' / 'crds'}")
