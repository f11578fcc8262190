"""Everything that touches the inner parts of another library, one module a library.

Each module says what it needs, why, and which upstream issue would remove the need. A canary in `tests/compat` fails when the
library changes underneath. Nothing here imports anything of Laneway.
"""
