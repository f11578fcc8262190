"""Every kind of fault: how it is injected into a running system, and what the checker must know about it."""
