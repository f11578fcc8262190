#!lua flags=allow-oom
-- Move users who have disconnected to `departed` and return those who are in it.
-- Guarantee: a user without a connection counts as connected for the grace time. After an outage of all API processes the
-- grace time begins again. A user stays in `departed` until presence_forget. Cost: O(users returned).
-- include: keys, time, presence
-- KEYS[1] prefix
-- ARGV[1] grace time, ms   ARGV[2] maximum of users
-- Reply: user, us since 2020 up to which accepted jobs are meant...
local grace_ms, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local function depart(user, until_us)
  redis.call('ZREM', presence_key, user)
  redis.call('UNLINK', connections_key(user))
  redis.call('ZADD', departed_key, int(until_us), user)
end
-- users who have logged out
for _, user in ipairs(redis.call('ZRANGE', presence_key, '-inf', 0, 'BYSCORE', 'LIMIT', 0, limit)) do
  depart(user, -tonumber(redis.call('ZSCORE', presence_key, user)))
end
-- users who have been away for longer than the grace time
local seen = redis.call('HMGET', watch_key, 'last', 'since', 'gap')
if seen[1] and now_ms - seen[1] <= tonumber(seen[3]) and now_ms - seen[2] >= grace_ms then
  local latest = '(' .. int(now_ms - grace_ms)
  for _, user in ipairs(redis.call('ZRANGE', presence_key, 1, latest, 'BYSCORE', 'LIMIT', 0, limit)) do
    if is_connected(user) then
      redis.call('ZADD', presence_key, int(now_ms), user) -- the grace time is shorter than the heartbeats' interval
    else
      depart(user, now_us)
    end
  end
end
return redis.call('ZRANGE', departed_key, 0, limit - 1, 'WITHSCORES')
