"""Render the chart with many sets of values in one run of helm, which costs a third of as many runs.

A chart made for the purpose depends on ours once for each set, under an alias.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.helm.chart import CHART, Helm

ALIAS = r"var\d{4}"
SOURCE = re.compile(rf"^# Source: \S*?/charts/({ALIAS})/.*$", re.MULTILINE)


class Refused(Exception):
    """Helm, or the chart, refuses some of the sets: those with these indexes, and perhaps others."""

    def __init__(self, indexes: set[int]) -> None:
        super().__init__(indexes)
        self.indexes = indexes


class Variants:
    """The chart around ours, in an empty folder."""

    def __init__(self, helm: Helm, folder: Path) -> None:
        self._helm, self._folder = helm, folder
        self._chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        shutil.copytree(CHART, folder / "charts" / CHART.name)

    def render(self, variants: Sequence[Mapping[str, Any]]) -> list[str]:
        """Return the manifests of each set as text, as if it were alone. Raises Refused."""
        aliases = [f"var{index:04}" for index in range(len(variants))]
        dependency = {"name": self._chart["name"], "version": self._chart["version"]}
        around = {
            "apiVersion": "v2",
            "name": "around",
            "version": "1.0.0",
            "dependencies": [dependency | {"alias": alias} for alias in aliases],
        }
        (self._folder / "Chart.yaml").write_text(yaml.safe_dump(around))
        done = self._helm.try_template(dict(zip(aliases, variants, strict=True)), chart=self._folder)
        if done.returncode:
            refused = {int(alias[-4:]) for alias in re.findall(ALIAS, done.stderr)}
            assert refused, done.stderr
            raise Refused(refused)
        manifests = dict.fromkeys(aliases, "")
        _, *parts = SOURCE.split(done.stdout)
        for alias, text in zip(parts[::2], parts[1::2], strict=True):
            manifests[alias] += text.rstrip("-\n").replace(alias, self._chart["name"]) + "\n---"
        return list(manifests.values())
