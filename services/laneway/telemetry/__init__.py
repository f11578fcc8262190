"""Logs and metrics that several programs share: log lines, job events, gauges of the lanes, counts of the janitor.

It takes plain values and knows neither lanes nor storage.
"""
