"""The real Dockerfile, built."""

from __future__ import annotations

from tests.helm.chart import ROOT
from tests.image.daemon import Docker

BUILD_SECONDS = 900


def build(docker: Docker, target: str) -> str:
    """One of its stages; returns the image's name. The base image must be there."""
    name = f"laneway:{target}"
    command = ("build", "--network=host", f"--target={target}", f"--tag={name}", str(ROOT))
    docker(*command, limit_seconds=BUILD_SECONDS)
    return name
