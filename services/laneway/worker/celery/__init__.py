"""All that knows Celery and kombu: the app, its boot step, and the message that starts a turn."""
