"""Writes the chart's README from Chart.yaml and the comments of values.yaml: python helm/readme.py [--check].

A value is described by the comment above it that begins with `# --`; a block's heading is the plain comment above it.
`--check` writes nothing and ends with 1 if the README is not what it would write.
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
HEAD = """<!-- Written by helm/readme.py from values.yaml: change that, and run `python helm/readme.py`. -->
# {name}

{description}.

Version {version}, for Kubernetes {kube_version}.

```sh
helm install laneway ./helm/laneway --namespace laneway --create-namespace
kubectl -n laneway port-forward service/laneway-api 8000:8000
helm -n laneway test laneway
```

What it makes: Deployments of the API, of the workers and of the operator; a WorkerPool, by which the operator scales the workers
by the parallelism that the users' lanes can use; a Valkey and a MongoDB with a volume each, unless yours are used; passwords,
made once and kept. All pods pass the Pod Security Standard "restricted". Nothing has rights outside of its namespace, and a namespace
has room for one release, since the operator looks at all WorkerPools of its own.

Not in it: Helm upgrades no CRD. When a version brings a new one: `kubectl apply --server-side --force-conflicts -f helm/laneway/crds/`.
Uninstalling keeps the volumes and the Secret that opens them, unless `whenDeleted` of both is `Delete`; the CRD stays in any case.

## Values
"""


@dataclass(frozen=True)
class Value:
    path: str
    default: Any
    text: str


def values(lines: list[str], node: yaml.MappingNode, path: str = "") -> Iterator[Value]:
    """Every described value, in order. Ends the program if a value has no description."""
    for key, value in node.value:
        name = f"{path}.{key.value}".removeprefix(".")
        comment = _above(lines, key.start_mark.line)
        if comment.startswith("-- "):
            yield Value(name, yaml.SafeLoader("").construct_document(value), comment.removeprefix("-- "))
        elif isinstance(value, yaml.MappingNode) and value.value:
            yield from values(lines, value, name)
        else:
            sys.exit(f"values.yaml: {name} has no description (a comment above it that begins with `# --`)")


def _above(lines: list[str], line: int) -> str:
    """The comment right above a line."""
    comment: list[str] = []
    while line and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        comment.insert(0, lines[line].strip().removeprefix("#").strip())
    return " ".join(comment)


def render() -> str:
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
    readme, text = CHART / "README.md", render()
    if sys.argv[1:] == ["--check"]:
        if not readme.exists() or readme.read_text() != text:
            sys.exit(f"{readme} is not up to date: python helm/readme.py")
    elif sys.argv[1:]:
        sys.exit(__doc__)
    else:
        readme.write_text(text)


if __name__ == "__main__":
    main()
