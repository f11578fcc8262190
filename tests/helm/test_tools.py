"""skaffold, kustomize and kind work with the chart."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helm.chart import CHART, KUBERNETES, ROOT, Helm, Manifest, of_kind, one
from tests.helm.programs import program

LIMIT_SECONDS = 60


def _run(*command: str | Path, folder: Path, helm: Helm) -> str:
    (folder / "helm").symlink_to(helm.path)
    environment = os.environ | {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "HOME": str(folder),
        "SKAFFOLD_UPDATE_CHECK": "false",
        "SKAFFOLD_INTERACTIVE": "false",
    }
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("profile", ["", "kind", "ci"])
def test_skaffold_renders_the_chart(helm: Helm, tmp_path: Path, profile: str) -> None:
    command: list[str | Path] = [
        program("skaffold"),
        "render",
        "--digest-source=tag",
        "--offline=true",
        f"--profile={profile}",
    ]
    manifests: list[Manifest] = [
        body for body in yaml.safe_load_all(_run(*command, folder=tmp_path, helm=helm)) if body
    ]
    (container,) = one(manifests, "Deployment", "api")["spec"]["template"]["spec"]["containers"]
    assert container["image"].startswith("laneway:")
    assert container["securityContext"]["readOnlyRootFilesystem"] is (profile == "ci")


@pytest.mark.parametrize("profile", ["", "kind", "ci"])
def test_skaffold_accepts_every_field_of_its_file(helm: Helm, tmp_path: Path, profile: str) -> None:
    command: list[str | Path] = [program("skaffold"), "diagnose", "--yaml-only", f"--profile={profile}"]
    config = yaml.safe_load(_run(*command, folder=tmp_path, helm=helm))
    (artifact,) = config["build"]["artifacts"]
    assert artifact["docker"]["target"] == ("runtime" if profile == "ci" else "dev")
    assert ("sync" in artifact) is (profile != "ci")
    assert ("hooks" in config["deploy"]["helm"]) is (profile == "ci")


def test_paths_in_skaffold_yaml_exist() -> None:
    config = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
    (artifact,) = config["build"]["artifacts"]
    dockerfile = (ROOT / artifact["docker"]["dockerfile"]).read_text()
    for target in (artifact["docker"]["target"], "runtime"):
        assert f" AS {target}\n" in dockerfile
    for rule in artifact["sync"]["manual"]:
        assert list(ROOT.glob(rule["src"])), rule
    (release,) = config["deploy"]["helm"]["releases"]
    assert (ROOT / release["chartPath"] / "Chart.yaml").exists()


def test_the_development_values_are_valid(helm: Helm) -> None:
    values: dict[str, Any] = yaml.safe_load((ROOT / "k8s" / "dev" / "values.yaml").read_text())
    manifests = helm.render(values)
    for name in ("api", "worker", "operator"):
        (container,) = one(manifests, "Deployment", name)["spec"]["template"]["spec"]["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is False


def test_kustomize_patches_the_charts_output(helm: Helm, tmp_path: Path) -> None:
    folder = tmp_path / "kustomize"
    shutil.copytree(ROOT / "k8s" / "kustomize", folder)
    release = ["template", "laneway", str(CHART), "--namespace=laneway", "--include-crds", "--skip-tests"]
    done = helm.run(
        *release, f"--kube-version={KUBERNETES}", values=yaml.safe_load((folder / "values.yaml").read_text())
    )
    assert done.returncode == 0, done.stderr
    (folder / "chart.yaml").write_text(done.stdout)
    output = _run(program("kubectl"), "kustomize", folder, folder=tmp_path, helm=helm)
    manifests = list(yaml.safe_load_all(output))
    assert of_kind(manifests, "CustomResourceDefinition")
    assert not of_kind(manifests, "Secret")
    labelled = [body for body in manifests if "labels" in body["metadata"]]
    assert one(labelled, "Deployment", "worker")["spec"]["template"]["spec"]["runtimeClassName"] == "gvisor"


def test_the_kind_cluster_has_several_workers() -> None:
    config = yaml.safe_load((ROOT / "k8s" / "kind" / "cluster.yaml").read_text())
    assert config["apiVersion"] == "kind.x-k8s.io/v1alpha4"
    assert [node["role"] for node in config["nodes"]].count("worker") > 1
