"""`from laneway import ...`: each name is there, and loads what it needs and no more."""

from __future__ import annotations

import subprocess
import sys

import pytest

import laneway

SERVER = ("fastapi", "redis", "pymongo", "celery", "kopf")
HANDLERS = (
    "handler",
    "Context",
    "Permanent",
    "Cancelled",
    "SoftTimeLimit",
    "on_process_start",
    "on_process_stop",
)


def loaded(names: str) -> set[str]:
    """The packages that this import loads in a new process."""
    program = (
        f"from laneway import {names}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("name", laneway.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(laneway, name) is not None


def test_a_name_that_is_not_public_is_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Clint'"):
        _ = laneway.Clint


def test_the_client_loads_no_server_and_no_handlers() -> None:
    packages = loaded("AsyncClient, Client")
    assert "httpx2" in packages
    assert not packages & {*SERVER, "pydantic"}


def test_handlers_load_no_server_and_no_client() -> None:
    packages = loaded(", ".join(HANDLERS))
    assert not packages & {*SERVER, "httpx2"}
