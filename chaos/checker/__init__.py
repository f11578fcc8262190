"""Judges a run: pure functions from its records to a verdict. Nothing here knows how the system works inside."""
