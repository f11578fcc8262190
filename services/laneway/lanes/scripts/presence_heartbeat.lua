#!lua flags=allow-oom
-- Renew connections, new ones included, and record that an API process lives.
-- Guarantee: connections of a revoked token are not renewed. Cost: O(log n) a connection.
-- include: keys, time, presence, types
-- KEYS[1] prefix
-- ARGV[1] ms for which a connection counts   ARGV[2] a gap this long without any API process is an outage, ms
-- ARGV[3..] for each connection: user, connection (<token id>:<any text>)
-- Reply: 1
local live_ms = tonumber(ARGV[1])
for at = 3, #ARGV, 2 do drop_foreign(connections_key(ARGV[at]), 'zset') end
local seen = redis.call('HMGET', watch_key, 'last', 'since')
local since = seen[2] or '0'
if seen[1] and now_ms - seen[1] > tonumber(ARGV[2]) then since = int(now_ms) end
redis.call('HSET', watch_key, 'last', int(now_ms), 'since', since, 'gap', ARGV[2])
for at = 3, #ARGV, 2 do
  local user, connection = ARGV[at], ARGV[at + 1]
  local key, token_id = connections_key(user), string.match(connection, '^[^:]*')
  if redis.call('EXISTS', P .. 'revoked:' .. token_id) == 0 then
    redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. int(now_ms))
    redis.call('ZADD', key, int(now_ms + live_ms), connection)
    redis.call('PEXPIRE', key, live_ms)
    redis.call('ZADD', presence_key, int(now_ms), user)
  end
end
return 1
