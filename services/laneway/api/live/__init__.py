"""Live connections: WebSockets and event streams on which users see what happens to their jobs."""
