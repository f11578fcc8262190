"""Fixtures: one control plane for all tests of this folder, and a namespace for each test."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.cluster import foreign
from tests.cluster.control_plane import ControlPlane, control_plane
from tests.cluster.program import Program
from tests.cluster.release import CHART
from tests.cluster.toolchain import CONTROL_PLANE, ToolsMissingError

FOLDER = Path(__file__).parent
CLUSTER = FOLDER / "cluster.yaml"
ADMIN = "/O=system:masters/CN=admin"


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build missing programs before the first test: it takes minutes, and a test has a time limit."""
    wanted = any(item.path.is_relative_to(FOLDER) for item in session.items)
    if wanted and not session.config.option.collectonly:
        with suppress(ToolsMissingError):  # the fixture `programs` reports it
            CONTROL_PLANE.programs()


@pytest.fixture(scope="session")
def programs() -> dict[str, Path]:
    """Paths of etcd, kube-apiserver and the other programs."""
    with _or_skip():
        return CONTROL_PLANE.programs()


@pytest.fixture(scope="session")
def cluster(programs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane with simulated nodes, all ready."""
    with control_plane(programs, tmp_path_factory.mktemp("cluster")) as plane:
        kubectl = Program(programs["kubectl"], _environment(plane, plane.kubeconfig("maker", ADMIN)))
        kubectl("apply", f"--filename={CLUSTER}")
        kubectl("wait", "nodes", "--all", "--for=condition=Ready", "--timeout=30s")
        yield plane


@pytest.fixture(scope="session")
def admin(cluster: ControlPlane) -> Path:
    """The kubeconfig of a cluster administrator."""
    return cluster.kubeconfig("admin", ADMIN)


@pytest.fixture(scope="session")
def kubectl(programs: dict[str, Path], cluster: ControlPlane, admin: Path) -> Program:
    """Kubectl as a cluster administrator."""
    return Program(programs["kubectl"], _environment(cluster, admin))


@pytest.fixture(scope="session")
def helm(programs: dict[str, Path], cluster: ControlPlane, admin: Path) -> Program:
    """Helm as a cluster administrator."""
    return Program(programs["helm"], _environment(cluster, admin))


@pytest.fixture(scope="session")
def definitions(programs: dict[str, Path], kubectl: Program) -> None:
    """Install the CRDs of the chart, and those of other projects that the chart can create objects of."""
    with _or_skip():
        theirs = foreign.definitions()
    for folder in (CHART / "crds", theirs):
        kubectl("apply", "--server-side", "--force-conflicts", f"--filename={folder}")
    kubectl("wait", "customresourcedefinitions", "--all", "--for=condition=Established", "--timeout=30s")


@pytest.fixture
def namespace(kubectl: Program) -> Iterator[str]:
    """A new namespace. It is deleted at the end, without waiting."""
    name = "t" + secrets.token_hex(4)
    kubectl("create", "namespace", name)
    kubectl("wait", "serviceaccount/default", f"--namespace={name}", "--for=create", "--timeout=30s")
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def restricted(kubectl: Program, namespace: str) -> str:
    """A namespace that enforces the Pod Security level `restricted`, and warns about violations."""
    labels = [f"pod-security.kubernetes.io/{mode}=restricted" for mode in ("enforce", "warn")]
    kubectl("label", "namespace", namespace, *labels)
    return namespace


@pytest.fixture
def as_account(
    programs: dict[str, Path], cluster: ControlPlane, kubectl: Program
) -> Callable[[str, str], Program]:
    """Kubectl with nothing but the token of a service account."""

    def account(namespace: str, name: str) -> Program:
        token = kubectl("create", "token", name, f"--namespace={namespace}").strip()
        config = cluster.token_kubeconfig(f"{namespace}-{name}", token, namespace)
        return Program(programs["kubectl"], _environment(cluster, config))

    return account


@contextmanager
def _or_skip() -> Iterator[None]:
    """Skip the test if the tools are missing; fail in CI."""
    try:
        yield
    except ToolsMissingError as error:
        if "CI" in os.environ:
            raise
        pytest.skip(str(error))


def _environment(plane: ControlPlane, kubeconfig: Path) -> dict[str, str]:
    """An environment without the developer's own configuration: no proxy, context, helm repository or cache."""
    return {"PATH": os.environ["PATH"], "HOME": str(plane.folder), "KUBECONFIG": str(kubeconfig)}
