"""What the bundled Valkey needs on a node: an image of the name in the chart, and a volume for its claim."""

from __future__ import annotations

import json
import secrets
import shutil
from pathlib import Path
from typing import Any

from laneway.dev.embedded import valkey_binary
from tests.helm.chart import default_values
from tests.image.base import name as base_name
from tests.image.daemon import Docker
from tests.node.system import Cluster

DOCKERFILE = Path(__file__).parent / "valkey" / "Dockerfile"
BUILD_SECONDS = 300.0


def image(docker: Docker, folder: Path) -> str:
    """Build the image in a new folder, and return its name."""
    folder.mkdir()
    for path in (DOCKERFILE, valkey_binary()):
        shutil.copy(path, folder)
    values = default_values()["redis"]["image"]
    name = f"{values['repository']}:{values['tag']}"
    options = ("--network=host", f"--build-arg=BASE={base_name()}", f"--tag={name}")
    docker("build", *options, str(folder), limit_seconds=BUILD_SECONDS)
    return name


def volume(cluster: Cluster) -> str:
    """Create a volume for one claim, and return its storage class.

    The volume is a folder that root owns. A kubelet gives a `local` volume to the pod's `fsGroup`, and does not with a `hostPath`. It has no
    bound, and nothing can enlarge it.
    """
    name = f"local-{secrets.token_hex(4)}"
    folder = cluster.machine.folder / name
    folder.mkdir(mode=0o755)
    storage_class = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": True,
    }
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [cluster.machine.name]}
    spec: dict[str, Any] = {
        "storageClassName": name,
        "capacity": {"storage": default_values()["redis"]["persistence"]["size"]},
        "accessModes": ["ReadWriteOnce"],
        "local": {"path": str(folder)},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
    }
    persistent = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}
    objects = {"apiVersion": "v1", "kind": "List", "items": [storage_class, persistent]}
    cluster.kubectl("apply", "--filename=-", stdin=json.dumps(objects))
    return name
