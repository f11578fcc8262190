"""Fixtures: one node with the real image, joined to one control plane, for all tests of this folder."""

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
    """Build missing programs before the first test: it takes minutes, and a test's time is limited."""
    wanted = any(item.path.is_relative_to(FOLDER) for item in session.items)
    if wanted and not session.config.option.collectonly:
        with suppress(ToolsMissingError, NoMachineError):  # the fixtures report it
            _programs()


@pytest.fixture(scope="session")
def programs() -> dict[str, Path]:
    """Return the programs of the control plane and of the node."""
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
    """Return an archive of three images: the real one, built from the real Dockerfile, Valkey's, and pause."""
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
def node_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Run a machine for the session."""
    try:
        with machine(tmp_path_factory.mktemp("machine")) as running:
            yield running
    except NoMachineError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def cluster(
    programs: dict[str, Path], images: Path, node_machine: Machine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """Run a control plane and its one node. Redis and MongoDB run on the real machine, where pods reach them."""
    folder = tmp_path_factory.mktemp("cluster")
    with (
        embedded.valkey(folder / "valkey", appendfsync="everysec", host=node_machine.gateway) as redis,
        embedded.mongo(folder / "mongo", host=node_machine.gateway) as mongo,
        control_plane(programs, folder, host=node_machine.gateway, simulated=False) as plane,
    ):
        # Nothing of the user's own configuration: no proxy, context, helm repository or cache.
        admin = str(plane.kubeconfig("admin", ADMIN))
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "KUBECONFIG": admin}
        kubectl, helm = (Program(programs[name], environment) for name in ("kubectl", "helm"))
        with node(node_machine, plane, programs, kubectl, images):
            yield Cluster(node_machine, kubectl, helm, redis.url, mongo.url)


@pytest.fixture
def url(system: System) -> Iterator[str]:
    """Yield the URL of the API of the module's release, through a port-forward."""
    with port_forward(system) as forwarded:
        yield forwarded
