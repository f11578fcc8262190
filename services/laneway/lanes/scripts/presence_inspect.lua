#!lua flags=no-writes
-- Read whether a user has a live connection. Cost: O(log n) of its connections.
-- include: keys, time, presence
-- KEYS[1] prefix
-- ARGV[1] user
-- Reply: {1 connected or 0, Redis's time in microseconds since 2020}
return { is_connected(ARGV[1]) and 1 or 0, int(now_us) }
