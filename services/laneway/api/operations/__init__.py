"""Operations: one action on all jobs that match a filter, carried out by API processes a step at a time.

`selection` finds the jobs, `actions` says what is done to them, and `runner` takes operations, one after another, and saves their
progress. Any process can go on where another one died.
"""
