"""Make the base image that the Dockerfile names, because the tests cannot pull from a registry.

debootstrap installs Debian's Python of the release that the name ends in. This machine's CA bundle and pip settings go into it, so that pip in
the build reaches the same index as pip here. The archive is cached outside the repository, because it takes a minute to make.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.image.daemon import Docker, NoDaemonError

DOCKERFILE = Path(__file__).parents[2] / "Dockerfile"
PACKAGES = "ca-certificates,python3,python3-pip,python3-venv"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host")
LIMIT_SECONDS = 600


def name() -> str:
    """Return the name of the base image in the Dockerfile."""
    match = re.search(r"^ARG BASE_IMAGE=(\S+)$", DOCKERFILE.read_text(), re.MULTILINE)
    assert match is not None
    return match[1]


def import_base(docker: Docker) -> None:
    """Import the base image into the daemon. Raise NoDaemonError if it can neither be found nor made."""
    with _archive().open("rb") as archive:
        docker("import", "-", name(), stdin=archive.fileno(), limit_seconds=LIMIT_SECONDS)


def _archive() -> Path:
    suite, pip = name().rpartition("-")[2], "".join(_pip_settings())
    certificates = CERTIFICATES.read_bytes() if CERTIFICATES.exists() else b""
    ingredients = f"{suite} {PACKAGES} {pip}".encode() + certificates
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "laneway-image"
    archive = cache / f"{hashlib.sha256(ingredients).hexdigest()[:16]}.tar"
    if not archive.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="laneway-base-") as folder:
            _debootstrap(Path(folder), suite, pip, certificates)
            unfinished = archive.with_suffix(f".{os.getpid()}")
            subprocess.run(
                ["tar", f"--directory={folder}", "--create", f"--file={unfinished}", "."], check=True
            )
            unfinished.rename(archive)
    return archive


def _debootstrap(folder: Path, suite: str, pip: str, certificates: bytes) -> None:
    if not (program := shutil.which("debootstrap")):
        raise NoDaemonError("debootstrap is not installed, so there is no base image")
    command = ["nice", "-n", "5", program, "--variant=minbase", f"--include={PACKAGES}", suite, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_SECONDS)
    if done.returncode:
        raise NoDaemonError(
            f"debootstrap cannot make a base image:\n{done.stdout[-2000:]}{done.stderr[-1000:]}"
        )
    for place in ("var/cache/apt/archives", "var/lib/apt/lists"):
        shutil.rmtree(folder / place)
        (folder / place / "partial").mkdir(parents=True)
    if certificates:
        (folder / CERTIFICATES.relative_to("/")).write_bytes(certificates)
    (folder / "etc" / "pip.conf").write_text(f"[global]\ncert = {CERTIFICATES}\n{pip}")


def _pip_settings() -> Iterator[str]:
    """Yield the lines of pip.conf that say where this machine's pip finds packages."""
    for setting in PIP_SETTINGS:
        command = [sys.executable, "-m", "pip", "config", "get", f"global.{setting}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        value = os.environ.get(f"PIP_{setting.replace('-', '_').upper()}") or done.stdout.strip()
        if value:
            yield f"{setting} = {value}\n"
