"""The questions that a benchmark answers, in the order in which it does.

Each module has `measure(bench)`, which makes all its runs once; a benchmark calls it once a round.
"""
