"""For the tests of those who write handlers.

    from laneway import testing

    assert testing.run(resize, {"image": "..."}) == {"width": 100}

`run` calls a handler as a worker does, without any server. `system` runs a whole Laneway on this machine, with servers of its own:
it needs `laneway[dev]`.
"""

from __future__ import annotations

from laneway.testing.call import FakeContext, run, run_async
from laneway.testing.whole import System, system

__all__ = ["FakeContext", "System", "run", "run_async", "system"]
