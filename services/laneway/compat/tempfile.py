"""What we need from inside `tempfile`.

| entry | needs | why | upstream |
|---|---|---|---|
| `set_default_folder` | `tempfile._gettempdir` is asked each time | each job has a folder of its own, made when it is first needed; `tempfile.tempdir` is one for all | no issue known |
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable


def set_default_folder(folder: Callable[[], str]) -> None:
    """Have `tempfile` call `folder` for each file or folder that it makes without a `dir`."""
    vars(tempfile)["_gettempdir"] = folder
