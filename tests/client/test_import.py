"""What a program pays that imports the client: modules, which a busy machine does not change as it does the time they take."""

from __future__ import annotations

import sys

from bench.install import imported

MAX_MODULES = 295
"""272 with Python 3.11. One library of the server would not pass: pydantic has 69 modules, FastAPI 359."""
LIBRARIES = {"httpx2", "idna", "msgspec", "stamina", "tenacity", "typing_extensions"}
"""Whose modules may be imported. The servers' libraries are installed beside them here, and are left alone."""
OURS = {"laneway", "laneway.client"}
"""Ours, beside those below `laneway.client`."""


def test_the_client_imports_few_modules_and_none_of_the_server() -> None:
    modules = imported("laneway.client")
    ours = {name for name in modules if name.partition(".")[0] == "laneway"}
    assert {name for name in ours if not name.startswith("laneway.client.")} == OURS
    others = {name.partition(".")[0] for name in modules} - {"laneway"} - sys.stdlib_module_names
    assert others <= LIBRARIES, "a new library of the client"
    assert len(modules) <= MAX_MODULES, sorted(modules)


def test_the_client_is_imported_when_it_is_asked_for() -> None:
    """A handler's module imports from `laneway` too, and needs no HTTP client."""
    assert not {name for name in imported("laneway") if name.startswith(("laneway.client", "httpx2"))}
