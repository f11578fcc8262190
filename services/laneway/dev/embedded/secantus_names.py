"""What `secantus_server` and the program that it starts agree on. Python warns if the parent imports the program itself."""

from __future__ import annotations

PROGRAM = "laneway.dev.embedded.secantus_program"
USER = "laneway"
READY_FILE = "ready"
"""File in the working directory with the process id of a server that listens."""
