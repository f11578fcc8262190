"""What `secantus_server` and the program that it starts agree on. Python warns if the parent imports the program itself."""

from __future__ import annotations

PROGRAM = "laneway.dev.embedded.secantus_program"
USER = "laneway"
READY_FILE = "ready"
"""Name of a file in the server's working directory. It holds the process id of the server, once that accepts connections."""
