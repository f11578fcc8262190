"""Write the chart's README from Chart.yaml and the comments of values.yaml: python helm/readme.py [--check].

The comment above a value that begins with `# --` describes it. `--check` writes nothing, and exits with 1 if the README is out of date.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parent / "laneway"
HEAD = """<!-- Generated from values.yaml by `make docs`. -->
# {name}

{description}.

Version {version}, for Kubernetes {kube_version}.

```sh
helm install laneway ./helm/laneway --namespace laneway --create-namespace
kubectl -n laneway port-forward service/laneway-api 8000:8000
helm -n laneway test laneway
```

The chart installs:

- Deployments of the API, the workers and the operator;
- a WorkerPool, by which the operator scales the workers to the parallelism that the users' lanes can use;
- a Valkey and a MongoDB with a volume each, unless you name servers of your own;
- passwords and keys, generated once and kept over upgrades.

All pods pass the Pod Security Standard "restricted". Nothing has rights outside its namespace. A namespace has room for one release, because
the operator serves all WorkerPools of its namespace.

Helm never upgrades a CRD. When a version has a new one: `kubectl apply --server-side --force-conflicts -f helm/laneway/crds/`.
Uninstalling keeps the CRD. It also keeps the volumes and the Secret that opens them, unless both `whenDeleted` are `Delete`.
[docs/operations.md](../../docs/operations.md) describes upgrades, backups, sizing and alerts.

## Values
"""


@dataclass(frozen=True)
class Value:
    """One row of the table."""

    path: str
    default: Any
    text: str


def values(lines: list[str], node: yaml.MappingNode, path: str = "") -> Iterator[Value]:
    """Yield every described value, in order. Exit if a value has no description."""
    for key, value in node.value:
        name = f"{path}.{key.value}".removeprefix(".")
        comment = _above(lines, key.start_mark.line)
        if comment.startswith("-- "):
            yield Value(name, yaml.SafeLoader("").construct_document(value), comment.removeprefix("-- "))
        elif isinstance(value, yaml.MappingNode) and value.value:
            yield from values(lines, value, name)
        else:
            sys.exit(
                f"values.yaml: {name} has no description: add a comment above it that begins with `# --`"
            )


def _above(lines: list[str], line: int) -> str:
    """Return the comment right above a line."""
    comment: list[str] = []
    while line and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        comment.insert(0, lines[line].strip().removeprefix("#").strip())
    return " ".join(comment)


def render() -> str:
    """Return the whole README."""
    source = (CHART / "values.yaml").read_text()
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    lines = [
        HEAD.format(
            name=chart["name"],
            description=chart["description"],
            version=chart["version"],
            kube_version=chart["kubeVersion"].removeprefix(">=").removesuffix(".0-0") + " or newer",
        )
    ]
    lines += ["| value | default | meaning |", "|---|---|---|"]
    root = yaml.compose(source)
    assert isinstance(root, yaml.MappingNode)
    for value in values(source.splitlines(), root):
        lines.append(f"| `{value.path}` | `{json.dumps(value.default)}` | {value.text.replace('|', '/')} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write or check the README."""
    readme, text = CHART / "README.md", render()
    if sys.argv[1:] == ["--check"]:
        if not readme.exists() or readme.read_text() != text:
            sys.exit(f"{readme} is out of date: run `make docs`")
    elif sys.argv[1:]:
        sys.exit(__doc__)
    else:
        readme.write_text(text)


if __name__ == "__main__":
    main()
