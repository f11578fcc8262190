"""One node with the real image, joined to one control plane, for all tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from laneway.dev import embedded
from tests.cluster.control_plane import control_plane
from tests.cluster.program import Program
from tests.cluster.toolchain import CONTROL_PLANE, NODE, ToolsMissingError
from tests.image.base import import_base
from tests.image.base import name as base_name
from tests.image.build import build
from tests.image.daemon import NoDaemonError, daemon
from tests.node import server
from tests.node.machine import Machine, NoMachineError, machine
from tests.node.node import check, node
from tests.node.runtime import PAUSE
from tests.node.system import Cluster, System, port_forward

FOLDER = Path(__file__).parent
ADMIN = "/O=system:masters/CN=admin"
BUILD_SECONDS = 120.0


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what is missing before any test begins: it takes minutes, and a test's time is limited."""
    wanted = any(item.path.is_relative_to(FOLDER) for item in session.items)
    if wanted and not session.config.option.collectonly:
        with suppress(ToolsMissingError, NoMachineError):  # the fixtures say so
            _programs()


@pytest.fixture(scope="session")
def programs() -> dict[str, Path]:
    """etcd, kubelet and so on."""
    try:
        return _programs()
    except NoMachineError as error:
        pytest.skip(str(error))
    except ToolsMissingError as error:
        if "CI" in os.environ:
            raise
        pytest.skip(str(error))


def _programs() -> dict[str, Path]:
    check()
    return CONTROL_PLANE.programs() | NODE.programs()


@pytest.fixture(scope="session")
def images(programs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real image, by the real Dockerfile, that of Valkey, and the one that holds a pod's namespaces, as one archive."""
    folder = tmp_path_factory.mktemp("images")
    archive = folder / "images.tar"
    try:
        with daemon() as docker:
            import_base(docker)
            image = build(docker, "runtime")
            base = f"--build-arg=BASE={base_name()}"
            docker("build", "--network=none", base, f"--tag={PAUSE}", str(FOLDER / "pause"))
            valkey = server.image(docker, folder / "valkey")
            docker("save", f"--output={archive}", image, valkey, PAUSE, limit_seconds=BUILD_SECONDS)
    except NoDaemonError as error:
        pytest.skip(str(error))
    return archive


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    try:
        with machine(tmp_path_factory.mktemp("machine")) as running:
            yield running
    except NoMachineError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def cluster(
    programs: dict[str, Path], images: Path, made: Machine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """A control plane and its one node; Redis and MongoDB are servers of this machine, where pods reach them."""
    folder = tmp_path_factory.mktemp("cluster")
    with (
        embedded.valkey(folder / "valkey", appendfsync="everysec", host=made.gateway) as redis,
        embedded.mongo(folder / "mongo", host=made.gateway) as mongo,
        control_plane(programs, folder, host=made.gateway, simulated=False) as plane,
    ):
        # Nothing of the person's own configuration: no proxy, context, helm repository or cache.
        admin = str(plane.kubeconfig("admin", ADMIN))
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "KUBECONFIG": admin}
        kubectl, helm = (Program(programs[name], environment) for name in ("kubectl", "helm"))
        with node(made, plane, programs, kubectl, images):
            yield Cluster(made, kubectl, helm, redis.url, mongo.url)


@pytest.fixture
def url(system: System) -> Iterator[str]:
    """Of the API of the module's release, by a port-forward."""
    with port_forward(system) as forwarded:
        yield forwarded
