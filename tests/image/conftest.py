"""Fixtures: the real image, built once from the real Dockerfile, and containers of it as the chart runs them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.helm.chart import Helm, Manifest, at
from tests.helm.programs import program
from tests.image.base import import_base
from tests.image.build import build
from tests.image.containers import Containers
from tests.image.daemon import Docker, NoDaemonError, daemon


@pytest.fixture(scope="session")
def docker() -> Iterator[Docker]:
    """Run a Docker daemon for the session."""
    try:
        with daemon() as running:
            yield running
    except NoDaemonError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def base(docker: Docker) -> None:
    """Import the base image."""
    try:
        import_base(docker)
    except NoDaemonError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def image(docker: Docker, base: None) -> str:
    """Build the production image and return its name."""
    return build(docker, "runtime")


@pytest.fixture(scope="session")
def dev_image(docker: Docker, image: str) -> str:
    """Build the development image and return its name."""
    return build(docker, "dev")


@pytest.fixture(scope="session")
def chart() -> list[Manifest]:
    """Return the manifests of the default values."""
    return Helm(program("helm")).render()


@pytest.fixture(scope="session")
def chart_without_ids() -> list[Manifest]:
    """Return the manifests for a cluster that assigns user ids."""
    return Helm(program("helm")).render(at("fixedUserIds", False))


@pytest.fixture
def containers(
    docker: Docker,
    image: str,
    chart: list[Manifest],
    redis_url: str,
    mongo_url: str,
    prefix: str,
    mongo_database: str,
) -> Iterator[Containers]:
    """Start containers as the chart would, against the tests' servers. Remove what still runs at the end."""
    started = Containers(
        docker,
        image,
        chart,
        {
            "LANEWAY_REDIS_URL": redis_url,
            "LANEWAY_MONGO_URL": mongo_url,
            "LANEWAY_KEY_PREFIX": prefix,
            "LANEWAY_MONGO_DATABASE": mongo_database,
        },
    )
    yield started
    started.remove()
