#!lua flags=allow-oom
-- Remove connections that were closed. Their closing is the last sign of life of their users.
-- Cost: O(log n) a connection.
-- include: keys, time, presence
-- KEYS[1] prefix
-- ARGV[1..] for each connection: user, connection
-- Reply: 1
for at = 1, #ARGV, 2 do
  if redis.call('ZREM', connections_key(ARGV[at]), ARGV[at + 1]) == 1 then
    redis.call('ZADD', presence_key, 'XX', 'GT', int(now_ms), ARGV[at])
  end
end
return 1
