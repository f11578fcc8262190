"""What runs inside a pool process: the turn, the handlers, and the reports of what became of jobs."""
