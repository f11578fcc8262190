"""Build the real Dockerfile."""

from __future__ import annotations

from tests.helm.chart import ROOT
from tests.image.daemon import Docker

BUILD_SECONDS = 900


def build(docker: Docker, target: str) -> str:
    """Build one stage and return the image's name. The base image must exist."""
    name = f"laneway:{target}"
    command = ("build", "--network=host", f"--target={target}", f"--tag={name}", str(ROOT))
    docker(*command, limit_seconds=BUILD_SECONDS)
    return name
