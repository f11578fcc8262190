"""The operator's modules are found as kopf finds them: their folder stands first on the path."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "operator"))
