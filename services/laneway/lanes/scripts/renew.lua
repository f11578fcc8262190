#!lua flags=allow-oom
-- Renew leases. Cost: O(log n) a lease.
-- include: keys, time
-- KEYS[1] prefix
-- ARGV[1] lease, ms from now   ARGV[2..] leases (<token>:<id>)
-- Reply: for each lease 1 renewed, 0 lost, 2 renewed and the job has been asked to stop
local deadline = int(now_ms + tonumber(ARGV[1]))
local is_any_cancelled = redis.call('EXISTS', P .. 'cancels') == 1
local replies = {}
for i = 2, #ARGV do
  local reply = 0
  if redis.call('ZSCORE', P .. 'leases', ARGV[i]) then
    redis.call('ZADD', P .. 'leases', 'XX', deadline, ARGV[i])
    reply = 1
    if is_any_cancelled then reply = reply + redis.call('HEXISTS', P .. 'cancels', id_of(ARGV[i])) end
  end
  replies[i - 1] = reply
end
return replies
