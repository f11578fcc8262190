"""The chart's README, its version and its NOTES.txt."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import laneway
from tests.helm.chart import CHART, ROOT, Helm, at, default_values, of_kind


def test_the_readme_is_up_to_date_with_the_values() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "helm" / "readme.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_chart_has_the_version_of_the_project() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == laneway.__version__


def test_the_artifact_hub_annotations_match_the_chart() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    annotations = {
        name.removeprefix("artifacthub.io/"): yaml.safe_load(text)
        for name, text in chart["annotations"].items()
    }
    values = default_values()
    images = {image["name"]: image["image"] for image in annotations["images"]}
    assert images == {
        "laneway": f"{values['image']['repository']}:{chart['appVersion']}",
        "valkey": "{repository}:{tag}".format(**values["redis"]["image"]),
        "mongo": "{repository}:{tag}".format(**values["mongo"]["image"]),
    }
    definition = yaml.safe_load((CHART / "crds" / "workerpools.yaml").read_text())
    (version,) = definition["spec"]["versions"]
    (crd,) = annotations["crds"]
    assert (crd["name"], crd["version"]) == (definition["metadata"]["name"], version["name"])
    (example,) = annotations["crdsExamples"]
    required = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["required"]
    assert set(required) <= example["spec"].keys()


@pytest.fixture
def notes(helm: Helm, tmp_path: Path) -> Callable[[dict[str, Any]], str]:
    """Return a function that renders NOTES.txt.

    `helm template` omits NOTES.txt, and `helm install` may need a cluster, so a copy of the chart renders it inside a manifest.
    """
    chart = tmp_path / "laneway"
    shutil.copytree(CHART, chart)
    text = textwrap.indent((chart / "templates" / "NOTES.txt").read_text(), "  ", lambda _: True)
    (chart / "templates" / "notes.yaml").write_text(f"kind: Notes\ntext: |2\n{text}")

    def render(values: dict[str, Any]) -> str:
        (found,) = of_kind(helm.render(values, chart=chart), "Notes")
        return str(found["text"])

    return render


def test_the_notes_say_how_to_reach_the_api(notes: Callable[[dict[str, Any]], str]) -> None:
    text = notes(at("api.service.port", 8080))
    assert "kubectl -n laneway port-forward service/demo-laneway-api 8000:8080" in text
    assert "curl -s http://127.0.0.1:8000/api/register" in text
    assert "helm -n laneway test demo" in text
    assert "kubectl -n laneway get workerpools" in text
    assert "WARNING" not in text


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (at("redis.persistence.enabled", False), "a restart of that pod loses all jobs"),
        (at("mongo.persistence.enabled", False), "a restart of that pod loses all users and history"),
        (at("redis.appendfsync", "everysec"), "a power cut can lose requests"),
        (
            at("auth.adminUsername", "ada"),
            "get secret demo-laneway-secrets -o jsonpath='{.data.admin-password}'",
        ),
        (
            {"ingress": {"enabled": True, "hosts": ["laneway.example.com"]}},
            "settings.trustedProxies does not name your Ingress",
        ),
        (
            {"ingress": {"enabled": True, "hosts": ["laneway.example.com"]}},
            "The Ingress serves laneway.example.com.",
        ),
    ],
)
def test_the_notes_mention_what_the_values_imply(
    notes: Callable[[dict[str, Any]], str], values: dict[str, Any], expected: str
) -> None:
    assert expected in notes(values)
