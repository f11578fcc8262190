"""The whole system as real processes on one machine, every part of which can be broken."""
