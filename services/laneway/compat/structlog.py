"""What we need from inside `structlog`.

| entry | needs | why | upstream |
|---|---|---|---|
| `laneway.compat.structlog`, imported first | `structlog` works without rich, and looks for it when it is imported | it would load rich and pygments for its renderer for terminals, which no server uses: 4 MB and 50 ms in each process | no issue known |

Import it before `structlog`: the packages of the server do so, each in its `__init__`. Where rich is loaded already it does nothing.
"""

from __future__ import annotations

import sys

if "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]  # so that importing it fails
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]
