#!lua flags=no-writes
-- Read the limited types: their limits, and how many jobs have a permit or wait for one. Cost: O(permits).
-- include: keys, permits
-- KEYS[1] prefix
-- Reply: {type, jobs with a permit, jobs that wait for one, max running or 0, max starts or 0, period in microseconds}...
local replies, all = {}, redis.call('HGETALL', P .. 'limited')
for i = 1, #all, 2 do
  local limits = limits_of_type(all[i])
  if limits then
    replies[#replies + 1] = { all[i], (read_permits(all[i])), redis.call('ZCARD', waiting_key(all[i])), limits.max_running,
      limits.starts, limits.period_us }
  end
end
return replies
