"""What MongoDB stores: users with their passwords, ended jobs (the history) and dead letters.

MongoDB may be away: enqueueing and processing go on without it. Every operation ends within a time limit, and its failure is
`UsersUnavailable` or `HistoryUnavailable`.
"""
